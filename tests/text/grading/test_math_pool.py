"""Worker processes that compare formulas: they hang, die, run out of memory, and end with whoever started them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from chainlift.cli import app
from chainlift.text.grading import math_pool, math_worker
from chainlift.text.grading.math_pool import MathPool

ODD = ["-m", "tests.text.grading.odd_worker"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() != "" and not state.startswith("Z")


def pids(pool: MathPool) -> list[int]:
    return [worker.pid for worker in pool.workers if worker.pid is not None]


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Iterator[MathPool]:
    monkeypatch.setattr(math_pool, "WORKER_ARGUMENTS", ODD)
    pool = MathPool(seconds=1)
    yield pool
    pool.close()


def test_what_becomes_of_workers_is_told_and_they_are_replaced(odd: MathPool) -> None:
    pairs = [("dies", "1"), ("eats", "1"), ("hangs", "1"), ("x", "x"), ("x", "y")]
    expected = dict(zip(pairs, ["crash", "crash", "timeout", True, False], strict=True))
    for _ in range(2):
        assert odd.verdicts(pairs) == expected
    left = pids(odd)
    odd.close()
    assert not any(is_running(pid) for pid in left)
    assert odd.verdicts([("x", "x")]) == {("x", "x"): True}


def test_several_threads_get_their_own_verdicts(odd: MathPool) -> None:
    found: dict[int, Any] = {}

    def ask(number: int) -> None:
        found[number] = odd.verdicts([(f"{number}", f"{number}"), (f"{number}", "x")])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: {(f"{n}", f"{n}"): True, (f"{n}", "x"): False} for n in range(5)}


def test_a_forked_process_has_workers_of_its_own(odd: MathPool) -> None:
    assert odd.verdicts([("x", "x")]) == {("x", "x"): True}
    before = pids(odd)
    child = os.fork()
    if child == 0:
        is_right = odd.verdicts([("a", "a"), ("a", "b")]) == {("a", "a"): True, ("a", "b"): False}
        own = pids(odd)
        odd.close()
        os._exit(0 if is_right and own and not set(own) & set(before) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert odd.verdicts([("y", "y")]) == {("y", "y"): True}
    assert pids(odd) == before


def test_a_worker_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_pool, "WORKER_ARGUMENTS", ["-c", "raise SystemExit(3)"])
    with pytest.raises(RuntimeError, match=r"^the math grader's worker does not start: it ended$"):
        MathPool(seconds=1).verdicts([("x", "x")])


def test_no_affinity_and_no_locale(odd: MathPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows, and where the locale is ASCII."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    pool = MathPool(seconds=1)
    assert pool.verdicts([("π ≤ \ud800", "π ≤ \ud800")]) == {("π ≤ \ud800", "π ≤ \ud800"): True}
    pool.close()


class Limits(SimpleNamespace):
    """A module `resource` whose limits can be set up to `most`."""

    RLIMIT_AS = 9
    RLIM_INFINITY = -1

    def getrlimit(self, which: int) -> tuple[int, int]:
        return -1, self.most

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        if self.refuses:
            raise ValueError("current limit exceeds maximum limit")
        self.limits = limits


@pytest.mark.parametrize("module", [None, SimpleNamespace(), Limits(most=-1, refuses=True)])
def test_where_memory_has_no_limit_there_is_none(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", module)
    assert not math_worker.bound_memory(2**30)


@pytest.mark.parametrize(("most", "limits"), [(-1, (2**30, -1)), (2**29, (2**29, 2**29)), (2**40, (2**30, 2**40))])
def test_the_limit_is_at_most_what_is_allowed(
    most: int, limits: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Limits(most=most, refuses=False)
    monkeypatch.setitem(sys.modules, "resource", module)
    assert math_worker.bound_memory(2**30)
    assert module.limits == limits


ORPHANS = f"""
import threading, time
from chainlift.text.grading import math_pool
math_pool.WORKER_ARGUMENTS = {ODD!r}
math_pool.cores = lambda: 2
pool = math_pool.MathPool(seconds=2)
pool.verdicts([("x", "x"), ("y", "y")])
threading.Thread(target=pool.verdicts, args=([("hangs", "1")],)).start()
time.sleep(.3)
print(*[worker.pid for worker in pool.workers], flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_nothing_is_left_when_the_caller_is_killed(tmp_path: Path) -> None:
    """Neither a worker that waits nor one that computes with the interpreter's lock held."""
    (tmp_path / "script.py").write_text(ORPHANS, encoding="utf-8")
    caller = subprocess.Popen([sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE, env=ENVIRONMENT)
    assert caller.stdout is not None
    workers = [int(pid) for pid in caller.stdout.readline().split()]
    assert len(workers) == 2
    assert all(is_running(pid) for pid in workers)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    end = time.monotonic() + 2 + math_worker.GRACE + 20
    while any(is_running(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(is_running(pid) for pid in workers)


SCRIPT = """
print("begins")
from reward import compute_score, reward

print(reward(["q"] * 3, ["#### 1+x", "#### x-1", "no"], answer=["x+1"] * 3), compute_score("", "\\\\boxed{2a+a}", "3a"))
"""


@pytest.mark.slow
def test_a_plain_script_uses_an_exported_reward(tmp_path: Path) -> None:
    """It has no __main__ guard: a worker that imports the caller's script would run it again."""
    sizes = ["task.train_size=5", "task.test_size=5"]
    done = CliRunner().invoke(app, ["dataset", "llm-tiny-trl", str(tmp_path / "set"), "task.grader=math", *sizes])
    assert done.exit_code == 0, done.output
    (tmp_path / "set" / "script.py").write_text(SCRIPT, encoding="utf-8")
    script = [sys.executable, "script.py"]
    ran = subprocess.run(script, cwd=tmp_path / "set", env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "begins\n[1.0, 0.0, 0.0] 1.0\n"), ran.stderr
