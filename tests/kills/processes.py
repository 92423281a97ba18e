"""Work in a forked process, which may be killed at a call to the disk."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kills.calls import Calls


def in_a_process(work: Callable[[], Any]) -> int:
    """The exit status of a forked process that does the work: 0, 1 after an exception, -9 if it was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ended_at(call: int, root: Path, work: Callable[[], Any]) -> int:
    """The exit status of a process that is killed at call number `call` to the disk below `root`."""

    def until_killed() -> None:
        number = -1

        def on_call(kind: str, path: Path, half: Callable[[], object]) -> None:
            nonlocal number
            number += 1
            if number == call:
                half()
                os.kill(os.getpid(), signal.SIGKILL)

        Calls(root, on_call)
        work()

    return in_a_process(until_killed)
