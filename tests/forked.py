"""A command in a process forked from the tests' own, which has imported what it needs; it can be killed on its way."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from chainlift import cli
from tests.drawing import drawing


class Forked:
    """`chainlift ARGUMENTS`, begun; used like subprocess.Popen, with what it prints to people kept in a file."""

    def __init__(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> None:
        """env: the process's environment, of which what PyTorch reads when it is imported comes too late."""
        self._stderr = tempfile.NamedTemporaryFile()  # noqa: SIM115 (it lives as long as this)
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._carry_out([*map(str, arguments)], env)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """("", what it has printed to people), after its end; TimeoutExpired, and it is killed, if that is too late."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                self.kill()
                raise subprocess.TimeoutExpired("chainlift", timeout)
            time.sleep(0.005)
        return "", Path(self._stderr.name).read_text(encoding="utf-8")

    def _carry_out(self, arguments: list[str], env: Mapping[str, str] | None) -> None:
        """Run the command in this process, which ends with it; its standard output goes nowhere."""
        status = 1
        try:
            for number, file in ((1, os.open(os.devnull, os.O_WRONLY)), (2, os.open(self._stderr.name, os.O_WRONLY))):
                os.dup2(file, number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
            if env is not None:
                os.environ.clear()
                os.environ.update(env)
            sys.argv = ["chainlift", *arguments]
            with drawing(False):
                cli.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            sys.stderr.flush()
            os._exit(status)
