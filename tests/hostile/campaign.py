"""What every hostile case keeps: it ends in time, in one line, with a status of docs/runs.md, and nothing is lost."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.in_process import command

SECONDS = 60  # of a case before it counts as hanging; real ones take less than two
MADE = ("report.html", "figures", "index.html", "model", "img", "results.md")  # what commands may write into a run


class TooLong(BaseException):
    """A case goes on for more than its time; no handler for errors may catch this."""


@dataclass
class Tally:
    """Cases tried, those that survived, and what became of the others."""

    tried: int = 0
    survived: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, case: str, complaint: str | None, status: int | None) -> None:
        """Count a case; no complaint means that it survived."""
        self.tried += 1
        if complaint is None:
            self.survived += 1
        else:
            self.broken.append(f"{case}: {complaint}")
            print(self.broken[-1], file=sys.stderr, flush=True)
        if status is not None:
            self.statuses[status] += 1

    def __str__(self) -> str:
        statuses = ", ".join(f"{count:,} with status {status}" for status, count in sorted(self.statuses.items()))
        return f"{self.tried:,} tried, {self.survived:,} survived ({statuses})"


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """TooLong where what is inside takes more than so many seconds."""

    def ring(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(arguments: list[str]) -> tuple[str | None, int | None]:
    """(complaint or None, status) of a command."""
    try:
        with limited(SECONDS):
            ended = command(*arguments)
    except TooLong:
        return f"goes on after {SECONDS} s", None
    except BaseException as error:  # what reaches the user as a traceback
        return f"traceback: {type(error).__name__}: {str(error)[:200]}", None
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    if ended.status not in (0, 1, 2):
        return f"status {ended.status}", ended.status
    if ended.status == 2 and not ended.err and "Usage: " in ended.out:  # no command: the help is shown
        return None, ended.status
    if ended.status and (len(errors) != 1 or len(errors[0]) > 2100):
        return f"status {ended.status} with {len(errors)} lines of error: {ended.err[-200:]!r}", ended.status
    if "Traceback" in ended.err + ended.out or "\x1b" in ended.err + ended.out or "\x07" in ended.err + ended.out:
        return f"a traceback or an escape sequence in the output: {(ended.out + ended.err)[-200:]!r}", ended.status
    return None, ended.status


def contents(folder: Path) -> dict[str, str]:
    """{path: SHA-256} of the regular files in a folder that belong to its runs."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.is_symlink() and not set(file.relative_to(folder).parts) & set(MADE)
    }
