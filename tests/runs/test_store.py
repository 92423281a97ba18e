import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chainlift.runs import store
from chainlift.runs.store import RunFolder, read_rows, write_atomically

RECIPE = {"name": "r"}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.open(tmp_path / "run", RECIPE, "abc")


def test_rows_are_cut_back_to_what_a_checkpoint_knew(folder: RunFolder) -> None:
    folder.append("metrics.jsonl", [{"a": 1}, {"a": 2}])
    known = folder.lengths()
    folder.append("metrics.jsonl", [{"a": 3}])
    folder.append("rollouts.jsonl", [{"b": 1}])
    folder.rewind(known)
    assert folder.rows() == [{"a": 1}, {"a": 2}]
    assert folder.rows("rollouts.jsonl") == []
    folder.rewind({})
    assert folder.rows() == []


def test_files_shorter_than_their_checkpoint_are_an_error(folder: RunFolder) -> None:
    folder.append("metrics.jsonl", [{"a": 1}])
    with pytest.raises(ValueError, match=r"metrics\.jsonl is shorter than its checkpoint says"):
        folder.rewind({"metrics.jsonl": 10_000})


def test_a_damaged_line_is_named(folder: RunFolder) -> None:
    folder.append("metrics.jsonl", [{"a": 1}])
    with (folder.path / "metrics.jsonl").open("a", encoding="utf-8") as handle:
        handle.write('{"a": \n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2, is damaged"):
        folder.rows()
    assert read_rows(folder.path / "nothing.jsonl") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_recorded(folder: RunFolder, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        folder.append("metrics.jsonl", [{"a": value}])
    assert folder.rows() == []


def test_another_recipes_folder_is_refused(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match="another recipe"):
        RunFolder.open(folder.path, RECIPE, "other")
    (folder.path / ".identity").unlink()
    with pytest.raises(ValueError, match="another run"):
        RunFolder.open(folder.path, RECIPE, "abc")


def test_a_folder_that_another_process_holds_is_refused(folder: RunFolder) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from chainlift.runs.store import RunFolder\n"
        f"with RunFolder(Path({str(folder.path)!r})).lock(wait=False):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another process is at work"), folder.lock(wait=False):
            pass
        calls = iter([False, False, True])

        def give_up() -> None:
            if next(calls):
                raise InterruptedError

        with pytest.raises(InterruptedError), folder.lock(wait=True, meanwhile=give_up):
            pass
    finally:
        process.kill()
        process.communicate()
    start = time.monotonic()
    with folder.lock(wait=True):  # a killed process holds nothing
        assert time.monotonic() - start < 10


def test_many_processes_may_open_a_folder_at_the_same_time(tmp_path: Path) -> None:
    for number in range(20):
        with ThreadPoolExecutor(8) as pool:
            opened = [pool.submit(RunFolder.open, tmp_path / str(number), RECIPE, "abc") for _ in range(8)]
        assert all(one.result().path.exists() for one in opened)
        assert {file.name for file in (tmp_path / str(number)).iterdir()} == {"recipe.yaml", ".identity", "checkpoints"}


def test_a_write_that_fails_leaves_the_old_content(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder.path / "summary.json"
    write_atomically(file, "old")
    monkeypatch.setattr(store.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "new")
    assert file.read_text(encoding="utf-8") == "old"
    assert {path.name for path in folder.path.iterdir()} == {"summary.json", "recipe.yaml", ".identity", "checkpoints"}


def test_only_run_folders_are_removed(folder: RunFolder, tmp_path: Path) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    with pytest.raises(ValueError, match="not a run folder"):
        store.remove(other)
    assert other.exists()
    store.remove(folder.path)
    assert not folder.path.exists()
    store.remove(folder.path)
