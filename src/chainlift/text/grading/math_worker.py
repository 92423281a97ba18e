"""The worker process of the formula grader: `python -m chainlift.text.grading.math_worker`, lines of JSON in and out.

It is a program of its own, not a child of multiprocessing: that would run the caller's main script once more in each
worker. It ends by itself when its caller is gone, however that ended.
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
"""Bytes of address space: a power of powers would else take all that the machine has before its time is up."""
GRACE = 2.0
"""Seconds after the caller's clock until the worker ends itself: its caller is no longer there to do so."""
LOOKS = 1.0
"""Seconds between two looks at whether the caller is still there."""
WARM_UP = [("x+1", "1+x"), ("(x+1)^2", "x^2+2x+1"), (r"x \le 3", r"(-\infty,3]"), (r"\sqrt{8}", r"2\sqrt{2}")]
"""Pairs whose comparison loads what is loaded late: the first simplification takes a second."""


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
    """Bound the memory of this process, and load the parsers before any clock runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's; it ends its workers
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    bound_memory(MEMORY)
    logging.disable(logging.CRITICAL)
    for pair in WARM_UP:
        math_equality.equal(*pair)


def bound_memory(size: int) -> bool:
    """Whether the address space could be bounded; some platforms have no such limit, or refuse it."""
    try:
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        size = size if most == resource.RLIM_INFINITY else min(size, most)
        resource.setrlimit(resource.RLIMIT_AS, (size, most))
    except (ImportError, AttributeError, ValueError, OSError):
        return False
    return True


def _take_stdout() -> BinaryIO:
    """The standard output for replies alone; whatever a library prints goes to the standard error."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _send(replies: BinaryIO, reply: dict[str, Any]) -> None:
    """Write one line."""
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


def _end_with(caller: int) -> None:
    """End this process when its parent is another one: a process forked by the caller may hold its end of the pipe."""
    while os.getppid() == caller:
        time.sleep(LOOKS)
    os._exit(1)


if __name__ == "__main__":
    main()
