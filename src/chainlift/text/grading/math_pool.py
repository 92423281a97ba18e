"""Worker processes that compare formulas and can be killed.

A formula can keep a computer algebra system busy forever, or exhaust the memory. So each comparison has a time limit in
wall-clock time. A worker that exceeds it is killed and replaced, as is one that dies, and the others go on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from chainlift.launcher import cores
from chainlift.text.grading.grade import Outcome

MAX_WORKERS = 4
SECONDS_TO_START = 300.0
WORKER_ARGUMENTS = ["-m", "chainlift.text.grading.math_worker"]
"""Arguments of the interpreter. The module is named, because a script's folder would come first on the path."""
Pair = tuple[str, str]
"""(answer, expected answer)."""
Verdict = bool | Outcome
"""Whether the two answers are equal, or the outcome if the worker ended."""


class Worker:
    """A process that starts at the first comparison, and again after its end; for one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Id of the process; None if none is running."""
        return None if self._process is None else self._process.pid

    def verdict(self, pair: Pair, seconds: float) -> Verdict:
        """The verdict on a pair; RuntimeError if the process cannot be started."""
        if self._process is None:
            self._start()
        reply = self._ask({"answer": pair[0], "expected": pair[1], "seconds": seconds}, seconds)
        if reply is None or "equal" not in reply:
            is_late = reply is not None
            self.close()
            return "timeout" if is_late else "crash"
        return "crash" if reply["equal"] == "memory" else reply["equal"]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def _start(self) -> None:
        """Start the process and wait until it has loaded its parsers; try twice, as memory may be short."""
        # The worker can import everything that the caller can, whatever set the caller's path.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}
        reply = None
        for _ in range(2):
            self._process = subprocess.Popen(
                [sys.executable, "-P", *WORKER_ARGUMENTS],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            reply = self._ask(None, SECONDS_TO_START)
            if reply is not None and "ready" in reply:
                return
            self.close()
        raise RuntimeError(f"the math grader's worker does not start: {(reply or {}).get('failed', 'it ended')}")

    def _ask(self, question: dict[str, Any] | None, seconds: float) -> dict[str, Any] | None:
        """The reply to a question; {"late": True} if it took too long, None if the process ended."""
        process, is_late = self._process, threading.Event()
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None

        def kill() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            if question is not None:
                process.stdin.write(json.dumps(question).encode() + b"\n")
                process.stdin.flush()
            line = process.stdout.readline()
        except OSError:  # the pipe is broken
            line = b""
        finally:
            timer.cancel()
        return {"late": True} if is_late.is_set() else json.loads(line) if line.endswith(b"\n") else None


class MathPool:
    """A pool of workers that start at the first comparison: one for each core, at most four."""

    def __init__(self, seconds: float) -> None:
        """seconds: time limit of one comparison."""
        self._seconds = seconds
        self._reset()

    def _reset(self) -> None:
        """Begin with new workers, owned by this process."""
        self._owner, self._lock = os.getpid(), threading.Lock()
        self.workers = [Worker() for _ in range(min(cores(), MAX_WORKERS))]
        weakref.finalize(self, _close, self.workers, self._owner)

    def verdicts(self, pairs: Sequence[Pair]) -> dict[Pair, Verdict]:
        """{pair: its verdict}; thread-safe. A forked process starts its own workers."""
        if os.getpid() != self._owner:
            self._reset()
        with self._lock:
            try:
                return self._distribute(pairs)
            except BaseException:  # after an interrupt, end the comparisons in progress; their threads wait for them
                self.close()
                raise

    def close(self) -> None:
        """End the workers; a pool that is used again starts them anew."""
        _close(self.workers, self._owner)

    def _distribute(self, pairs: Sequence[Pair]) -> dict[Pair, Verdict]:
        """{pair: its verdict}, each by the next free worker."""
        count = min(len(self.workers), len(pairs))
        if count < 2:
            return {pair: self.workers[0].verdict(pair, self._seconds) for pair in pairs}
        free: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.workers[:count]:
            free.put(worker)

        def verdict(pair: Pair) -> Verdict:
            worker = free.get()
            try:
                return worker.verdict(pair, self._seconds)
            finally:
                free.put(worker)

        with ThreadPoolExecutor(count) as threads:
            return dict(zip(pairs, threads.map(verdict, pairs), strict=True))


def _close(workers: list[Worker], owner: int) -> None:
    """End the workers, unless this process is a fork of the one that owns them."""
    if os.getpid() == owner:
        for worker in workers:
            worker.close()
