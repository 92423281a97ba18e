"""A part of the campaign on corrupted files and fuzzed command lines; all of it: `python -m tests.hostile`."""

import os
from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.hostile import campaign, files, folders, lines
from tests.hostile.campaign import Tally
from tests.hostile.tampering import Case

SLOW = (
    "report",
    "report of all",
    "run",
)  # commands of a second each: of these one case of 197 is tried, of the others one of 41


@pytest.mark.slow
def test_corrupted_files_are_one_line_and_nothing_is_lost(finished: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(SMALL, encoding="utf-8")
    every = list(files.cases(files.base(finished, tmp_path / "start"), recipe))
    quick = [case for case in every if case[2] not in SLOW]
    slow = [case for case in every if case[2] in SLOW]
    tally = Tally()
    files.tried(finished, recipe, tmp_path / "cases", [*quick[::61], *slow[::397]], tally)
    assert not tally.broken
    assert tally.tried == tally.survived > 60


@pytest.mark.slow
@pytest.mark.smoke
def test_fuzzed_lines_are_one_line(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tally = Tally()
    lines.tried(finished, tmp_path, 42, tally, first=10_000)
    assert not tally.broken
    assert tally.survived == 42


def test_a_traceback_a_hang_and_a_loss_would_be_seen(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The campaign can fail: each kind of fault, put into the product, is found by it."""
    recipe = tmp_path / "small.yaml"
    recipe.write_text(SMALL, encoding="utf-8")
    case = [("summary.json", "a list", "watch")]

    def found() -> str:
        tally = Tally()
        files.tried(finished, recipe, tmp_path / "cases", case, tally)
        return tally.broken[0]

    def fail(self: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("chainlift.runs.progress.Watcher.poll", fail)
    assert "traceback: KeyError" in found()

    def wait(self: object) -> None:
        os.read(os.pipe()[0], 1)

    monkeypatch.setattr("chainlift.runs.progress.Watcher.poll", wait)
    monkeypatch.setattr(campaign, "SECONDS", 0.2)
    assert "goes on after" in found()
    monkeypatch.setattr(campaign, "SECONDS", 60)

    def lose(self: object) -> list[object]:
        next((tmp_path / "cases").rglob("DONE")).unlink()
        return []

    monkeypatch.setattr("chainlift.runs.progress.Watcher.poll", lose)
    assert "changed: " in found()


def test_a_checkpoint_that_is_taken_and_a_module_that_is_imported_would_be_seen(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for hostile checkpoints, which test_checkpoints.py tries all of."""

    def importing(folder: Path) -> None:
        monkeypatch.syspath_prepend(folder.parent)

    monkeypatch.setattr(folders, "CASES", [Case("sound", lambda folder: None), Case("a path", importing, ())])
    monkeypatch.setattr(folders, "HARMLESS", [Case("harmless", lambda folder: None, ())])
    tally = Tally()
    folders.tried(finished, tmp_path, tally)
    assert (tally.tried, tally.survived) == (9, 3)
    assert [line.partition(": ")[2] for line in tally.broken[:3]] == ["status 0, not 2"] * 3
    assert [line.partition(": ")[2] for line in tally.broken[3:]] == ["what the folder named was imported"] * 3
