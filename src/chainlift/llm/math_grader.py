"""Answers that are formulas, judged by math-verify in processes that can be killed.

A formula can keep a computer algebra system busy for ever, or take all memory. So each is judged in a worker process
with a clock on the wall; one that is late is killed, counted, and wrong, and the others go on.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import TimeoutError as LateError
from typing import Any

from chainlift.llm import math_worker
from chainlift.llm.grade import Grade, How, Tally, marked_or_boxed

SECONDS = 5.0  # for one formula; honest ones take a few milliseconds
MOST_WORKERS = 4
LONGEST = 2000  # characters of an answer; a longer one is none


class MathGrader:
    """Right is what math-verify calls equal: behind the last answer mark, else in the last box, else in the text."""

    def __init__(self, answer_mark: str, *, seconds: float = SECONDS) -> None:
        """seconds: of one verdict; then its worker is killed."""
        self._pool: Any = None
        missing = [name for name in ("math_verify", "pebble") if importlib.util.find_spec(name) is None]
        if missing:
            raise ValueError(f"grader=math needs {' and '.join(missing)}: pip install 'chainlift[llm]'")
        self._mark, self._seconds = answer_mark, seconds
        self._tally = Tally()

    def grade_all(self, completions: Sequence[str], answers: Sequence[str]) -> list[Grade]:
        """A grade for each completion, in their order; what occurs twice is judged once."""
        found = [self._found(text) for text in completions]
        pairs = {(text, answer) for (text, _), answer in zip(found, answers, strict=True) if text is not None}
        verdicts = self._verdicts(sorted(pairs))
        grades = []
        for (text, how), answer in zip(found, answers, strict=True):
            verdict = False if text is None else verdicts[text, answer]
            grades.append(Grade(verdict, how) if isinstance(verdict, bool) else Grade(False, verdict))
        return self._tally.add(grades)

    def counts(self) -> dict[str, int]:
        """Counts since the last call."""
        return self._tally.take()

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def __del__(self) -> None:
        self.close()

    def _found(self, completion: str) -> tuple[str | None, How]:
        """(the answer's text, where it stood)."""
        text, how = marked_or_boxed(completion, self._mark)
        if text is None:
            text, how = completion.strip().rpartition("\n")[2], "formula"
        return (None, "no answer") if not text.strip() or len(text) > LONGEST else (text, how)

    def _verdicts(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], bool | How]:
        """For each pair of texts whether they are equal, or what became of the worker."""
        from pebble import ProcessExpired, ProcessPool

        if self._pool is None:
            # spawned, not forked: this process holds torch, its threads and perhaps a GPU
            workers = min(len(os.sched_getaffinity(0)), MOST_WORKERS)
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPool(max_workers=workers, initializer=math_worker.prepare, context=context)  # pyright: ignore[reportArgumentType]
        futures = {pair: self._pool.schedule(math_worker.verdict, args=pair, timeout=self._seconds) for pair in pairs}
        verdicts: dict[tuple[str, str], bool | How] = {}
        for pair, future in futures.items():
            try:
                verdicts[pair] = future.result()
            except LateError:
                verdicts[pair] = "timeout"
            except (ProcessExpired, MemoryError):
                verdicts[pair] = "crash"
        return verdicts
