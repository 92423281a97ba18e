"""The lock that the first process takes for all of them; the processes are threads here, what they tell is pickled."""

import errno
import pickle
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chainlift import distributed
from chainlift.runs import lock, shared_folder
from chainlift.runs.store import RunFolder
from chainlift.stages.failures import Interrupted

SECONDS = 5.0
"""For a thread to hear from another one before the test has failed."""


class Two:
    """Two processes that work together: what the first one says comes to the other one, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here = threading.local()
        self.said: queue.Queue[bytes] = queue.Queue()
        self.meeting = threading.Barrier(2, timeout=SECONDS)
        monkeypatch.setattr(distributed, "world_size", lambda: 2)
        monkeypatch.setattr(distributed, "is_rank0", lambda: self.here.is_first)
        monkeypatch.setattr(distributed, "broadcast", self.from_first)
        monkeypatch.setattr(distributed, "barrier", self.meeting.wait)

    def from_first(self, value: Any) -> Any:
        if self.here.is_first:
            self.said.put(pickle.dumps(value))
            return value
        return pickle.loads(self.said.get(timeout=SECONDS))

    def work(self, work: Callable[[], object]) -> list[BaseException | None]:
        """What each of the two raises; everything that was said must have been heard."""
        raised: list[BaseException | None] = [None, None]

        def carry_out(rank: int) -> None:
            self.here.is_first = rank == 0
            try:
                work()
            except BaseException as error:
                raised[rank] = error

        threads = [threading.Thread(target=carry_out, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * SECONDS)
            assert not thread.is_alive()
        assert self.said.empty(), "the first process said something that nobody waits for"
        return raised


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Two:
    return Two(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.open(tmp_path / "run", {}, "identity")


def held(folder: RunFolder, meanwhile: Callable[[], None] = lambda: None) -> Callable[[], None]:
    def work() -> None:
        with shared_folder.lock(folder, wait=True, meanwhile=meanwhile):
            pass

    return work


def test_all_come_into_the_block_and_out_of_it(two: Two, folder: RunFolder) -> None:
    assert two.work(held(folder)) == [None, None]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device", "x"), PermissionError(errno.EACCES, "no"), KeyError(3)]
)
def test_what_ends_the_first_one_s_try_reaches_the_others_as_itself(
    error: Exception, two: Two, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def fail(*_: Any, **__: Any) -> Iterator[None]:
        raise error
        yield

    monkeypatch.setattr(lock, "hold", fail)
    first, other = two.work(held(folder))
    assert first is error
    assert other is not None
    assert type(other) is type(error)
    assert other.args == error.args
    assert getattr(other, "filename", None) == getattr(error, "filename", None)


def test_an_error_of_clearing_up_reaches_the_others_too(
    two: Two, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the lock has been taken, and before anybody was told so."""

    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("chainlift.runs.durable.clean_up", fail)
    first, other = two.work(held(folder))
    assert isinstance(first, OSError)
    assert isinstance(other, OSError)
    assert other.errno == errno.EIO
    monkeypatch.undo()
    with folder.lock(wait=False):
        pass


def test_what_all_of_them_raise_while_they_wait_is_not_told_again(
    two: Two, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is agreed on; had the first one told of it once more, it would have waited for somebody to listen."""
    monkeypatch.setattr(lock, "SECONDS", 0.01)
    asked = threading.local()

    def stop() -> None:
        asked.times = getattr(asked, "times", 0) + 1
        if asked.times == 3:
            raise Interrupted

    with folder.lock(wait=False):
        first, other = two.work(held(folder, stop))
    assert isinstance(first, Interrupted)
    assert isinstance(other, Interrupted)


def test_an_error_inside_the_block_is_told_to_nobody(two: Two, folder: RunFolder) -> None:
    def work() -> None:
        with shared_folder.lock(folder, wait=True):
            raise KeyError("both")

    first, other = two.work(work)
    assert isinstance(first, KeyError)
    assert isinstance(other, KeyError)
