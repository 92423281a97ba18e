"""A real browser, and a folder of runs and claims as sweeps leave them, made from one small run that was trained."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chainlift.measure.finding import Finding
from chainlift.report.claim_outcome import Outcome, Seconds
from chainlift.report.figures.claim_picture import findings_picture
from chainlift.report.figures.picture import Line, Lines, Map, Mark, Picture
from chainlift.report.terminal.reporter import Reporter
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from tests.browser import NAMES, Browser, Page

FILES = ("recipe.yaml", "environment.json", "metrics.jsonl", "rollouts.jsonl", "summary.json", "DONE")
SEEDS = (0, 1, 2, 5)
ODD = "odd &<i>'\"-s0"  # a folder's name may hold anything
TITLE = "<script>document.title = 'taken'</script>"


@pytest.fixture(scope="session")
def chromium() -> str:
    """A Chromium; there is always one in CI, and where there is none the test fails rather than passes unseen."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(
            "no Chromium found: install one, set CHROMIUM to it, or leave out these tests with -m 'not browser'"
        )
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A browser that a module's tests share; each opens tabs of its own. Its event loop must not outlive the module."""
    browser = Browser(chromium)
    yield browser
    browser.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A tab; the console must stay empty and the network unused, whatever the test does."""
    page = browser.page()
    yield page
    page.close()
    assert not page.complaints


def copy_run(source: Path, folder: Path, *, p_cot: float = 0.25, recipe: str = "small", without: str = "") -> Path:
    """A run folder's files under another name, p_cot and recipe, all but the file `without`."""
    folder.mkdir(parents=True)
    for file in FILES:
        if file != without:
            shutil.copyfile(source / file, folder / file)
    text = (source / "recipe.yaml").read_text(encoding="utf-8")
    assert "name: small" in text
    assert "p_cot: 0.25" in text
    text = text.replace("name: small", f"name: {recipe}").replace("p_cot: 0.25", f"p_cot: {p_cot}")
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return folder


def fill(folder: Path, source: Path, count: int) -> Path:
    """`count` runs in a folder, of which one failed, one is unfinished, one is damaged and one has odd names; besides,
    a run of a shared stage alone and the claims.
    """
    for i in range(count - 4):
        recipe = "small" if i % 4 else "other"
        copy_run(source, folder / f"{recipe}-{i:08x}-s{i % 5}", p_cot=round(0.01 * (1 + i % 40), 2), recipe=recipe)
    failed = copy_run(source, folder / "small-failed00-s0", without="DONE")
    (failed / "summary.json").unlink()
    (failed / "FAILED").write_text("Traceback\nerror: training diverged: loss is not finite\n", encoding="utf-8")
    copy_run(source, folder / "small-halfway0-s0", without="DONE")
    (folder / "small-halfway0-s0/summary.json").unlink()
    damaged = copy_run(source, folder / "small-damaged0-s0")
    (damaged / "metrics.jsonl").write_text("[1]\n", encoding="utf-8")
    odd = copy_run(source, folder / ODD)
    text = (odd / "recipe.yaml").read_text(encoding="utf-8").replace("title: small", f"title: {json.dumps(TITLE)}")
    (odd / "recipe.yaml").write_text(text, encoding="utf-8")
    shutil.copytree(source.parent / "stages", folder / "stages")
    first = recipes.load(str(source.parents[1] / "small.yaml")).prefix("pretrain")
    pipeline.run(first, folder, Reporter(quiet=True))
    write_claims(folder / "claims")
    return folder


def write_claims(folder: Path) -> None:
    """Claims as `chainlift reproduce` writes them: with pictures, without, failing, and one damaged file."""
    folder.mkdir()
    checked = [
        Finding(
            f"accuracy & <b>{q}</b>", f"{kind}, p_cot {p}", tuple(p + s / 50 for s in SEEDS), p, 0.05, x=p, series=kind
        )
        for q in "ab"
        for kind in ("star", "grpo")
        for p in (0.1, 0.2, 0.4)
    ]
    fine = [replace(one, tolerance=1.0) for one in checked]
    for name, findings in (("fails-here", checked), ("holds-here", fine), ("with-pictures", fine)):
        statement = f"What {name} says"
        drawn = picture() if name == "with-pictures" else findings_picture(name, statement, SEEDS, findings)
        assert drawn is not None
        made = {"date": "2026-11-28", "seconds": Seconds(1, 1, 8), "made_on": [], "judged_on": {}}
        Outcome(name, statement, list(SEEDS), 8, False, findings, [drawn], **made).write(folder / f"{name}.json")
    (folder / "torn.json").write_text('{"claim": ', encoding="utf-8")


def picture() -> Picture:
    """Curves over time on logarithms, a prediction, a mark, and a map; one value was not measured."""
    nan = float("nan")
    times = (1.0, 10.0, 100.0)
    star = Line("star", times, ((1.0, 2.0, 4.0), (2.0, 4.0, 8.0), (4.0, 8.0, 16.0), (1.0, 1.0, nan)))
    grpo = Line("grpo", times, ((3.0, 3.0, 3.0),) * 4)
    theory = Line("star, predicted", times, ((2.0, 3.0, 6.0),), "predicted")
    curves = Lines(
        "growth", "updates", "length", (theory, star, grpo), (Mark(10.0, "threshold"),), True, True, None, "curves"
    )
    cells = Map(
        "plane", "p_cot", "K", ("0.1", "0.2"), ("2", "3"), (((0.0, 1.0), (0.5, 0.25)),) * 4, "share", (0, 1), True
    )
    return Picture("with-pictures", "Growth and plane", SEEDS, (curves, cells))
