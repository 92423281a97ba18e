"""Commands in processes forked from one that has imported what commands import: `python -m tests.fork_server`.

Importing takes most of a short command's time. The server reads a request a line (arguments, folder, environment, files
for output) and answers with the exit status; each command has a process of its own, as a user's has.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.drawing import drawing

PRELOADED = (
    "chainlift.cli", "chainlift.api", "chainlift.claims.registry", "chainlift.report.pages.last_page",
    "chainlift.report.over_seeds", "chainlift.report.pages.results_page", "chainlift.report.terminal.reporter",
    "chainlift.stages.inspect", "chainlift.stages.pipeline", "chainlift.sweep.reproduce", "matplotlib.figure",
)  # fmt: skip


class ForkServer:
    """A server of this module, begun by the first command."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def run(
        self, arguments: list[str], *, cwd: Path | None, env: dict[str, str], timeout: float, draws: bool
    ) -> subprocess.CompletedProcess[str]:
        """How `chainlift ARGUMENTS` ended; subprocess.TimeoutExpired if it did not in time.

        draws: figures, too (drawing.py).
        """
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[1],
                env=env,
            )
        server = self.process
        assert server.stdin is not None
        assert server.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            files = [str(Path(folder) / name) for name in ("stdout", "stderr")]
            request = {"arguments": arguments, "cwd": str(cwd or Path.cwd()), "env": env, "files": files}
            print(json.dumps(request | {"timeout": timeout, "draws": draws}), file=server.stdin, flush=True)
            status = json.loads(server.stdout.readline())
            out, err = (Path(file).read_text(encoding="utf-8") for file in files)
        if status is None:
            raise subprocess.TimeoutExpired(["chainlift", *arguments], timeout, out, err)
        return subprocess.CompletedProcess(["chainlift", *arguments], status, out, err)


def main() -> None:
    """Serve until the input ends."""
    for name in PRELOADED:
        __import__(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _carry_out(request)
        status = exit_status(child, request["timeout"])
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        print(json.dumps(status), flush=True)


def exit_status(child: int, seconds: float) -> int | None:
    """The exit status of a forked process, negative for a signal; None if it runs for longer than that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _carry_out(request: dict[str, Any]) -> None:
    """Run the command in this process, which ends with it."""
    status = 1
    try:
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, file in enumerate(request["files"], start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), number)
        sys.argv = ["chainlift", *request["arguments"]]
        sys.modules["__main__"].__package__ = None  # from which usage lines tell how the command was begun
        from chainlift import cli

        with drawing(request["draws"]):
            cli.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
