"""The worker process of the formula grader: `python -m chainlift.text.grading.math_worker`, lines of JSON in and out.

It is a separate program, because multiprocessing would run the caller's main script again in each worker. It ends by
itself when its caller is gone, for whatever reason.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from typing import Any, BinaryIO

from chainlift.text.grading import math_equality

MEMORY = 3 * 2**30
"""Most bytes of address space: without a limit, a power of powers takes all memory before its time is up."""
GRACE = 2.0
"""Seconds after the caller's time limit until the worker ends itself, because its caller is gone."""
CHECK_INTERVAL = 1.0
"""Seconds between two checks that the caller still exists."""
WARM_UP = [("x+1", "1+x"), ("(x+1)^2", "x^2+2x+1"), (r"x \le 3", r"(-\infty,3]"), (r"\sqrt{8}", r"2\sqrt{2}")]
"""Pairs whose comparison loads the modules that are imported late: the first simplification takes a second."""


def main() -> None:
    """Answer {"answer", "expected", "seconds"} with {"equal": true or false, or "memory"} until the input ends."""
    replies = _take_stdout()
    try:
        prepare()
    except Exception as error:
        _send(replies, {"failed": f"{type(error).__name__}: {error}"})
        return
    _send(replies, {"ready": True})
    for line in sys.stdin.buffer:
        question = json.loads(line)
        # A thread of C code: it ends this process even while a computation holds the interpreter's lock.
        faulthandler.dump_traceback_later(question["seconds"] + GRACE, exit=True, file=sys.stderr)
        try:
            reply: bool | str = math_equality.equal(question["answer"], question["expected"])
        except MemoryError:
            reply = "memory"
        faulthandler.cancel_dump_traceback_later()
        _send(replies, {"equal": reply})


def prepare() -> None:
    """Limit the memory of this process, and load the parsers before any time limit runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, which ends its workers
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    bound_memory(MEMORY)
    logging.disable(logging.CRITICAL)
    for pair in WARM_UP:
        math_equality.equal(*pair)


def bound_memory(size: int) -> bool:
    """Limit the address space to `size` bytes, and return whether the platform allowed it."""
    try:
        import resource

        _, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
        size = size if hard_limit == resource.RLIM_INFINITY else min(size, hard_limit)
        resource.setrlimit(resource.RLIMIT_AS, (size, hard_limit))
    except (ImportError, AttributeError, ValueError, OSError):
        return False
    return True


def _take_stdout() -> BinaryIO:
    """The standard output, reserved for replies; prints of libraries go to the standard error from now on."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _send(replies: BinaryIO, reply: dict[str, Any]) -> None:
    """Write a reply as one line."""
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def _end_with(caller: int) -> None:
    """End this process when its parent changes; the pipe may stay open, in a fork of the caller."""
    while os.getppid() == caller:
        time.sleep(CHECK_INTERVAL)
    os._exit(1)


if __name__ == "__main__":
    main()
