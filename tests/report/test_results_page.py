"""The page of a folder: every run and claim is on it, failures as failures, and no text of theirs becomes markup."""

import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chainlift.report.figures.picture import plain
from chainlift.report.pages import results_data, results_page
from chainlift.report.pages.run_page import table
from chainlift.report.record import read
from tests.conftest import chainlift
from tests.report.conftest import ODD, TITLE, fill


@pytest.fixture(scope="session")
def few(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight runs and one of a shared stage alone; tests must not change it."""
    return fill(tmp_path_factory.mktemp("few") / "runs", finished, 8)


@pytest.fixture(scope="session")
def text(few: Path) -> str:
    return results_page.write_any(few).read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Elements of a page: those that run or load something, and the texts of scripts by their data-view."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self._view = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        about = dict(attrs)
        self._view = (about.get("data-view") or about.get("data-figures") or "") if tag == "script" else ""
        if "data-figures" in about:
            self._view = f"figures {self._view}"

    def handle_data(self, data: str) -> None:
        if self._view:
            self.scripts[self._view] = self.scripts.get(self._view, "") + data


def test_runs_are_told_with_their_status(few: Path) -> None:
    runs = {run.run_id: run for run in map(results_data.run, results_data.run_folders(few))}
    assert len(runs) == 9
    told = {name: (run.status, run.reason) for name, run in runs.items()}
    assert told["small-failed00-s0"] == ("failed", "error: training diverged: loss is not finite")
    assert told["small-halfway0-s0"] == ("unfinished", "")
    assert told["small-damaged0-s0"] == (
        "damaged",
        "metrics.jsonl, line 1, is damaged: it must hold keys and values (it holds [1])",
    )
    assert told["other-00000000-s0"] == ("done", "")
    assert [name for name, run in runs.items() if run.is_shared] == [next(few.glob("shared-pretrain-*")).name]


def test_a_row_is_the_summary_and_the_recipe(few: Path) -> None:
    folder = few / "small-00000002-s2"
    record, view = read(folder), results_data.run(folder)
    assert record.summary is not None
    assert view.row["last_greedy_accuracy"] == record.summary["posttrain"]["greedy_accuracy"]
    assert view.row["first_sampled_long_share"] == record.summary["pretrain"]["sampled_long_share"]
    assert (view.row["p_cot"], view.row["d"], view.row["modulus"]) == (0.03, 4, 2)
    stages = ("pretrain", "posttrain", "continued_pretrain")
    assert view.row["seconds"] == pytest.approx(sum(record.summary[stage]["seconds"] for stage in stages))
    assert view.table == table(record.summary)


def test_a_runs_chart_is_that_of_its_own_page(few: Path) -> None:
    folder = few / "small-00000002-s2"
    rows = read(folder).of("posttrain", "evaluation")
    (lift,) = results_data.run(folder).figures
    greedy = [trace for trace in lift["data"] if trace.get("name") == "greedy"]
    accuracies = [row["greedy"]["accuracy"] for row in rows]
    assert any(trace["y"] == pytest.approx(accuracies, abs=1e-4) for trace in greedy)


def test_damage_of_any_file_leaves_the_page_whole(few: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(few / "small-00000002-s2", folder / "fine")
    summary = json.loads((few / "small-00000002-s2/summary.json").read_text(encoding="utf-8"))
    summary["posttrain"]["sampled_accuracy"] = "high"
    bad = {"recipe.yaml": "name: x\n", "summary.json": '{"stages": {"pretrain": {}}, "theory": {}}'}
    for name, content in bad.items():
        shutil.copytree(few / "small-00000002-s2", folder / f"bad-{name}")
        (folder / f"bad-{name}" / name).write_text(content, encoding="utf-8")
    shutil.copytree(few / "small-00000002-s2", folder / "bad-word")
    (folder / "bad-word/summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (shutil.copytree(few / "small-00000002-s2", folder / "bad-dir") / "rollouts.jsonl").unlink()
    (folder / "bad-dir/rollouts.jsonl").mkdir()
    found = {run.run_id: run for run in map(results_data.run, results_data.run_folders(folder))}
    assert [name for name, run in found.items() if run.status == "damaged"] == [
        "bad-dir",
        "bad-recipe.yaml",
        "bad-summary.json",
        "bad-word",
    ]
    assert found["bad-word"].reason == (
        "summary.json, key posttrain, is damaged: sampled_accuracy: Input should be a valid number (it is 'high')"
    )
    assert all(run.reason for run in found.values() if run.status == "damaged")
    assert "bad-dir" in results_page.write(folder).read_text(encoding="utf-8")


def test_claims_with_their_verdicts(few: Path, text: str) -> None:
    claims = {claim.name: claim for claim in results_data.claims(few)}
    assert claims["fails-here"].verdict == "fails in 12 of 12 lines"
    assert claims["fails-here"].state == "fails"
    assert claims["holds-here"].state == "holds"
    assert claims["torn"].state == "damaged"
    assert "✗</span> fails in 12 of 12 lines" in text
    row = claims["holds-here"].quantities[0]["rows"][1]
    assert row["setting"] == "star, p_cot 0.2"
    assert row["cells"][0] == "0.2"
    assert row["holds"] is True


def test_a_claims_figure_is_the_picture_on_record(few: Path) -> None:
    claims = {claim.name: claim for claim in results_data.claims(few)}
    (shown,) = claims["holds-here"].pictures
    star = next(trace for trace in shown["figure"]["data"] if trace["name"] == "star")
    assert star["y"] == pytest.approx([p + (0 + 1 + 2 + 5) / 4 / 50 for p in (0.1, 0.2, 0.4)], rel=1e-4)
    assert [line for _, line, *_ in shown["numbers"]][::3] == ["star, predicted", "star", "grpo, predicted", "grpo"] * 2
    (shown,) = claims["with-pictures"].pictures
    factor = math.exp(4.3027 * math.log(2) / math.sqrt(3))  # of 4, 8 and 16; one seed lacks it
    limits = f"{8 / factor:.4g} to {8 * factor:.4g}"
    assert shown["numbers"][5] == ("growth", "star", "100", "8", limits, 3)
    assert shown["note"].startswith("Means over 4 seeds")


def test_no_text_becomes_markup(text: str) -> None:
    found = Reader(text)
    assert TITLE not in text
    assert "<b>a</b>" not in text
    assert "&lt;script&gt;document.title" in found.scripts[f"run={ODD}"]
    types = [about.get("type") for tag, about in found.tags if tag == "script"]
    assert types.count(None) == 2  # the theme, and the page's own; all others are data
    assert set(types) == {None, "text/html", "text/plain", "application/json"}


def test_nothing_is_loaded(text: str) -> None:
    found = Reader(text)
    links = [about.get("href") or about.get("src") or "" for _, about in found.tags]
    assert not [link for link in links if re.match(r"(https?:)?//", link)]
    assert not [tag for tag, _ in found.tags if tag in ("img", "iframe", "object")]


def test_embedded_figures_are_json(text: str) -> None:
    scripts = Reader(text).scripts
    held = {name: json.loads(data) for name, data in scripts.items() if name.startswith("figures")}
    assert len(held) == 3 + 8  # claims and runs that can be read
    assert len(held["figures run=small-failed00-s0"]) == 1
    assert "After next-token prediction, sampled" in scripts["run=small-00000002-s2"]
    assert max(map(len, scripts.values())) < 30_000


def test_a_full_report_is_linked_where_there_is_one(few: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(few / ODD, folder / ODD)
    assert results_data.run(folder / ODD).report is None
    (folder / ODD / "report.html").touch()
    assert "odd%20%26%3Ci%3E%27%22-s0/report.html" in results_page.write(folder).read_text(encoding="utf-8")


def test_numbers_are_short() -> None:
    told = {"a": (1.0, 0.123456789, math.nan), "b": [123456789, "x", True, None]}
    assert plain(told, 5) == {"a": [1, 0.12346, None], "b": [123456789, "x", True, None]}


def test_a_run_folder_still_gets_its_own_page(few: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(few / "small-00000002-s2", tmp_path / "small-00000002-s2")
    assert results_page.write_any(copy) == copy / "report.html"
    assert (copy / "figures/lift.pdf").exists()


@pytest.mark.slow
def test_the_command_takes_both_kinds_of_folder(few: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    run = shutil.copytree(few / "small-00000002-s2", folder / "small-00000002-s2")
    done = chainlift("report", folder, run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(folder / "index.html"), str(run / "report.html")]
    assert '<h2 id="claims-title"' not in (folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_runs_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a run folder and holds none: give .* \(--out, by default: runs\)"):
        results_page.write_any(tmp_path / name)


def test_damage_of_the_old_page_is_not_possible(few: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results_page, "write_file", full)
    with pytest.raises(OSError, match="No space left on device"):  # status 1: the disk is full
        results_page.write(few)
    assert (few / "index.html").read_text(encoding="utf-8") == text
