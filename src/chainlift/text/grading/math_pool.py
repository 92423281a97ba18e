"""Workers that compare formulas, each of them a process that can be killed.

A formula can keep a computer algebra system busy for ever, or take all memory. So each pair has a clock on the wall; a
worker that is late is killed and replaced, as is one that dies, and the others go on.
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
from chainlift.text.grading.grade import How

MOST_WORKERS = 4
SECONDS_TO_START = 300.0
WORKER = ["-m", "chainlift.text.grading.math_worker"]
"""Arguments of the interpreter: a module by its name, as the folder of a script would come first on its path."""
Pair = tuple[str, str]
"""An answer, and what is expected."""
Verdict = bool | How
"""Whether the two are equal, or what became of the worker."""


class Worker:
    """One process, which starts with the first pair and again after its end; used by one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def verdict(self, pair: Pair, seconds: float) -> Verdict:
        """The verdict on a pair; RuntimeError if no worker can be started here."""
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
        """Start the process, and wait until it has loaded its parsers; a second try, as memory may be short."""
        # It can import what the caller can, whatever made that so.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}
        reply = None
        for _ in range(2):
            self._process = subprocess.Popen(
                [sys.executable, "-P", *WORKER],
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
        """The reply to a question; {"late": ...} if it took too long and None if the process ended."""
        process, is_late = self._process, threading.Event()
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None

        def kill() -> None:
            is_late.set()
            process.kill()

        clock = threading.Timer(seconds, kill)
        clock.daemon = True
        clock.start()
        try:
            if question is not None:
                process.stdin.write(json.dumps(question).encode() + b"\n")
                process.stdin.flush()
            line = process.stdout.readline()
        except OSError:  # the pipe is broken
            line = b""
        finally:
            clock.cancel()
        return {"late": True} if is_late.is_set() else json.loads(line) if line.endswith(b"\n") else None


class MathPool:
    """Workers that start when there is something to compare, as many as there are cores or pairs, at most four."""

    def __init__(self, seconds: float) -> None:
        """seconds: of one verdict."""
        self._seconds = seconds
        self._begin()

    def _begin(self) -> None:
        self._owner, self._lock = os.getpid(), threading.Lock()
        self.workers = [Worker() for _ in range(min(cores(), MOST_WORKERS))]
        weakref.finalize(self, _close, self.workers, self._owner)

    def verdicts(self, pairs: Sequence[Pair]) -> dict[Pair, Verdict]:
        """For each pair its verdict; several threads may ask. A forked process has workers of its own."""
        if os.getpid() != self._owner:
            self._begin()
        with self._lock:
            try:
                return self._shared_out(pairs)
            except BaseException:  # an interrupt: whatever still computes is ended, and waited for by its thread
                self.close()
                raise

    def close(self) -> None:
        """End the workers; a pool that is used again begins anew."""
        _close(self.workers, self._owner)

    def _shared_out(self, pairs: Sequence[Pair]) -> dict[Pair, Verdict]:
        """The verdicts, each by the next worker that is free."""
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
    """End the workers, unless this is a fork of the process that has them."""
    if os.getpid() == owner:
        for worker in workers:
            worker.close()
