import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chainlift.runs import durable, lock
from chainlift.runs.durable import write_file
from chainlift.runs.store import RunFolder, read_rows
from chainlift.stages.failures import explain

RECIPE = {"name": "r"}
NEW = {"recipe.yaml", ".identity", "checkpoints", ".lock"}
"""What is in a run folder that was just opened."""


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
        assert {file.name for file in (tmp_path / str(number)).iterdir()} == NEW


def test_a_write_that_fails_leaves_the_old_content(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder.path / "summary.json"
    write_file(file, "old")
    monkeypatch.setattr(durable.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_file(file, "new")
    assert file.read_text(encoding="utf-8") == "old"
    assert {path.name for path in folder.path.iterdir()} == {"summary.json", *NEW}


def test_only_run_folders_are_emptied(folder: RunFolder, tmp_path: Path) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").touch()
    with pytest.raises(ValueError, match="not a run folder"):
        RunFolder.open(other, RECIPE, "abc", fresh=True)
    assert {path.name for path in other.iterdir()} == {"chapter.tex"}
    for again in (folder.path, tmp_path / "new", tmp_path / "new"):
        if again.exists():
            (again / "metrics.jsonl").touch()
            (again / "DONE").touch()
            (again / "checkpoints" / "pretrain-5").mkdir()
        RunFolder.open(again, RECIPE, "abc", fresh=True)
        assert {path.name for path in again.iterdir()} == NEW
        assert not list((again / "checkpoints").iterdir())


@pytest.mark.parametrize("left", [[], [".lock"], [".lock", ".tmp-recipe.yaml-0123"]])
def test_what_a_kill_leaves_of_an_emptied_folder_is_emptied_again(left: list[str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in left:
        (tmp_path / "run" / name).touch()
    RunFolder.open(tmp_path / "run", RECIPE, "abc", fresh=True)
    assert {path.name for path in (tmp_path / "run").iterdir()} == NEW


def test_a_folder_in_use_is_not_emptied(folder: RunFolder) -> None:
    folder.append("metrics.jsonl", [{"a": 1}])
    with folder.lock(wait=False), pytest.raises(lock.InUse, match="another process is at work"):
        RunFolder.open(folder.path, RECIPE, "abc", fresh=True)
    assert folder.rows() == [{"a": 1}]


def test_the_holder_removes_what_kills_have_left(folder: RunFolder) -> None:
    (folder.path / ".tmp-summary.json-0123").touch()
    (folder.checkpoints / ".tmp-pretrain-5").mkdir()
    (folder.checkpoints / ".old-pretrain-4").mkdir()
    with folder.lock(wait=False):
        assert {path.name for path in folder.path.iterdir()} == NEW
        assert {path.name for path in folder.checkpoints.iterdir()} == {"pretrain-4"}


def test_a_finished_run_keeps_whole_checkpoints_only(folder: RunFolder) -> None:
    """A kill after a stage's last checkpoint leaves its trainer's own ones."""
    durable.write_folder(folder.checkpoints / "pretrain-5", lambda made: (made / "a").touch())
    (folder.checkpoints / "trainer-pretrain" / "checkpoint-4").mkdir(parents=True)
    folder.finish({"a": 1})
    assert {path.name for path in folder.checkpoints.iterdir()} == {"pretrain-5"}
    assert folder.done


def test_processes_that_the_holder_started_hold_nothing(folder: RunFolder) -> None:
    """Both kinds: one that goes on in this program (fork), and one that runs another."""
    with folder.lock(wait=False):
        forked = os.fork()
        if forked == 0:
            time.sleep(60)
            os._exit(0)
        started = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with folder.lock(wait=False):
            pass
    finally:
        started.kill()
        started.wait()
        os.kill(forked, signal.SIGKILL)
        os.waitpid(forked, 0)


def test_a_file_system_without_locks_is_said_to_be_one(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else filelock would make do with a file, which a killed run would leave behind."""
    import fcntl

    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(ValueError, match="has no file locks"), folder.lock(wait=False):
        pass


def test_a_full_disk_is_no_bad_input(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(OSError, match="No space") as error:
        RunFolder.open(tmp_path / "other", RECIPE, "abc")
    assert explain(error.value)[0] == 1
    with pytest.raises(OSError, match="No space") as error:
        folder.lengths()
    assert "metrics.jsonl: No space left on device; make room" in explain(error.value)[1]


@pytest.mark.parametrize("last", ["DONE", "checkpoints", "metrics.jsonl"])
def test_a_fresh_start_that_is_killed_leaves_no_old_page_or_summary(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """last: what is about to be removed when the kill comes."""
    folder.append("metrics.jsonl", [{"a": 1}])
    folder.finish({"a": 1})
    (folder.path / "report.html").write_text("old", encoding="utf-8")

    def killing(remove: Callable[..., None]) -> Callable[..., None]:
        def until(path: Path, *args: object, **options: object) -> None:
            if path.name == last:
                raise KeyboardInterrupt
            remove(path, *args, **options)

        return until

    monkeypatch.setattr(Path, "unlink", killing(Path.unlink))
    monkeypatch.setattr(durable, "discard", killing(durable.discard))
    with pytest.raises(KeyboardInterrupt):
        folder.begin_again(RECIPE, "abc")
    left = {path.name for path in folder.path.iterdir()}
    assert "report.html" not in left
    assert last in left
    assert ("summary.json" in left) <= ("DONE" in left)
