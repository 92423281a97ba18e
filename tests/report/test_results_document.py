"""docs/results.md from claims and runs: nothing is lost, nothing stands twice, and what is damaged is told."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from chainlift.report.claim_outcome import Outcome, Seconds
from chainlift.report.documents import results_document
from chainlift.report.figures.picture import Picture
from tests.claims.small_claim import CHECK, CLAIM, reproduce

ROOT = Path(__file__).parents[2]
JUDGED = Outcome(
    claim="headline", statement="it lifts", seeds=[0, 1], runs=2, quick=False, findings=[],
    pictures=[Picture("headline", "it lifts", (0, 1), ())], date="2026-11-28", seconds=Seconds(1, 1, 2),
    made_on=[], judged_on={"commit": None, "chainlift": "0.1.0"},
)  # fmt: skip


def test_the_document_holds_every_claim_that_has_results(tmp_path: Path) -> None:
    reproduce(CLAIM, tmp_path)
    failing = replace(
        CLAIM,
        name="wrong",
        checks=(lambda finished: [replace(line, predicted=0.9, x=None) for line in CHECK(finished)],),
    )
    reproduce(failing, tmp_path)
    document = tmp_path / "docs/results.md"
    assert results_document.write(document, tmp_path / "claims", ["wrong", "absent", "small"]) == ["wrong", "small"]
    text = document.read_text(encoding="utf-8")
    row = "| [wrong](#wrong-fails-in-2-of-2-lines) | the long share is p_cot | fails in 2 of 2 lines | 0-1 | 4 |"
    assert row in text
    assert "## small: holds" in text
    assert "chainlift reproduce small --seeds 0-1" in text
    assert "| long share, p_cot 0.2 | 0.2 |" in text
    assert "![the long share is p_cot](img/results/small.png)" in text
    assert "wrong.png" not in text
    assert (document.parent / "img/results/small.png").stat().st_size > 5000
    made = r"4 runs, made with chainlift 0.* torch .*, 1 thread a run on cpu: .* cores\. Judged \d{4}-\d\d-\d\d with "
    assert re.search(made + r".*\. A run trained for \d+ s", text)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot write"):
        results_document.write(tmp_path / "file/results.md", tmp_path / "claims", ["small"])


@pytest.mark.slow
def test_a_document_keeps_what_is_not_at_hand(tmp_path: Path, finished: Path) -> None:
    document = tmp_path / "docs/results.md"
    for claim, out in ((CLAIM, "one"), (replace(CLAIM, name="other", statement="another claim"), "two")):
        reproduce(claim, tmp_path / out)
        results_document.write(document, tmp_path / out / "claims", ["other", "small"])
    text = document.read_text(encoding="utf-8")
    assert text.count("## small: holds") == text.count("## other: holds") == 1
    assert text.index("[other](#other-holds)") < text.index("[small](#small-holds)")
    reproduce(CLAIM, tmp_path / "one", quick=True)
    results_document.write(document, tmp_path / "one/claims", ["other", "small"])
    with_quick = document.read_text(encoding="utf-8")
    assert with_quick.startswith(text)
    assert "## At quick sizes\n\n    chainlift reproduce --all --quick\n" in with_quick
    assert results_document.write_run(document, finished) == "small"
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    low, high = summary["posttrain"]["greedy_accuracy_ci95"]
    whole = document.read_text(encoding="utf-8")
    assert whole.startswith(with_quick)
    assert f"{summary['posttrain']['greedy_accuracy']:.3f} [{low:.3f}, {high:.3f}]" in whole.partition("### small")[2]
    assert (tmp_path / "docs/img/results/run-small.png").stat().st_size > 5000
    for out in ("two", "one"):  # everything again, in another order
        results_document.write(document, tmp_path / out / "claims", ["other", "small"])
    results_document.write_run(document, finished)
    assert document.read_text(encoding="utf-8") == whole


@pytest.mark.parametrize(("content", "told"), [('{"claim": ', "is damaged"), ('{"claim": "small"}', "lacks statement")])
def test_a_claim_file_that_cannot_be_used_is_one_line(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text(content, encoding="utf-8")
    (tmp_path / "small.md").write_text("| table |\n", encoding="utf-8")
    with pytest.raises(ValueError, match=told) as caught:
        results_document.write(tmp_path / "results.md", tmp_path, ["small"])
    assert "chainlift reproduce small" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_no_document_overwrites_a_picture_that_is_not_its_own(tmp_path: Path, finished: Path) -> None:
    """A claim with a figure of the same name as README's picture, and a run, put into the shipped document."""
    docs = shutil.copytree(ROOT / "docs", tmp_path / "docs")
    before = {path: path.read_bytes() for path in docs.rglob("*") if path.is_file()}
    JUDGED.write(tmp_path / "headline.json")
    (tmp_path / "headline.md").write_text("| table |\n", encoding="utf-8")
    (tmp_path / "headline.png").write_bytes(b"a figure")
    results_document.write(docs / "results.md", tmp_path, ["headline"])
    results_document.write_run(docs / "results.md", finished)
    after = {path: path.read_bytes() for path in docs.rglob("*") if path.is_file()}
    changed = {path.relative_to(docs).as_posix() for path in after if before.get(path) != after[path]}
    assert changed == {"results.md", "img/results/headline.png", "img/results/run-small.png"}
    assert set(before) <= set(after)
    assert _links(docs / "results.md") <= set(after)


def test_only_a_document_of_results_is_written_again(tmp_path: Path, finished: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# chainlift\n\n## What you can do\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"README\.md was not written by chainlift and is left alone") as caught:
        results_document.write_run(readme, finished)
    assert len(str(caught.value).splitlines()) == 1
    assert readme.read_text(encoding="utf-8") == "# chainlift\n\n## What you can do\n"
    assert list(tmp_path.iterdir()) == [readme]


def test_every_image_of_the_documentation_is_shown_and_every_one_shown_is_there() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = set().union(*map(_links, documents))
    there = {path for path in (ROOT / "docs/img").rglob("*") if path.is_file()}
    assert shown == there
    assert ROOT / "docs/img/headline.png" in _links(ROOT / "README.md")
    assert not _links(ROOT / "README.md") & _links(ROOT / "docs/results.md")


def _links(document: Path) -> set[Path]:
    """The images that a document shows."""
    found = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    return {(document.parent / link).resolve() for link in found if "://" not in link}
