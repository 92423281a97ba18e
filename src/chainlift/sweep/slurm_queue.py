"""What Slurm says of jobs: whether they are still in its queue, and how those ended that have left it.

The queue itself (squeue) says what is; the accounting (sacct) says what was, some seconds late. Where a site has only
one of the two, that one must do.
"""

from __future__ import annotations

import getpass
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Sequence

ASK_SECONDS = 10.0  # between two questions: the controller serves the whole cluster
ANSWER_SECONDS = 60.0  # for one answer
MAY_RETURN = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED")
"""States after which Slurm queues a job again if the cluster is set up so (JobRequeue, PreemptMode=REQUEUE)."""
IN_QUEUE = (
    "PENDING", "RUNNING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "COMPLETING", "CONFIGURING", "SUSPENDED",
    "RESIZING", "STOPPED", "SIGNALING", "STAGE_OUT", "RESV_DEL_HOLD", "SPECIAL_EXIT",
)  # fmt: skip
UNKNOWN = "UNKNOWN"


class Queue:
    """The states of jobs (by number, `12_3` in an array), queried at most every ASK_SECONDS."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._queued: dict[str, tuple[str, str]] | None = None
        self._ended: dict[str, str] | None = None
        self._asked = float("-inf")
        self._answered = time.monotonic()

    def ask(self, numbers: Iterable[str]) -> None:
        """Bring the states up to date, if the last question is old enough."""
        if time.monotonic() - self._asked < ASK_SECONDS:
            return
        self._asked = time.monotonic()
        self._queued, self._ended = self._squeue(), _sacct(numbers)
        if self.answers:
            self._answered = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """How long Slurm has not answered."""
        return time.monotonic() - self._answered

    @property
    def answers(self) -> bool:
        """Whether Slurm has answered the last question."""
        return self._queued is not None or self._ended is not None

    def state(self, number: str) -> str:
        """A job's state in one word; UNKNOWN where Slurm does not know it, or does not answer."""
        if self._queued is not None and number in self._queued:
            return self._queued[number][0]
        return (self._ended or {}).get(number, UNKNOWN)

    def has(self, number: str) -> bool:
        """Whether a job is in the queue; where Slurm does not answer it is taken to be there still."""
        if self._queued is not None:
            return number in self._queued
        return self._ended is None or self.state(number) in IN_QUEUE

    def summary(self, numbers: Sequence[str]) -> str:
        """What becomes of the jobs, with Slurm's reason where it holds one back: `2 pending (Priority), 1 running`."""
        counts: Counter[str] = Counter()
        for number in numbers:
            state, reason = (self._queued or {}).get(number, (self.state(number), ""))
            held = f" ({reason})" if state == "PENDING" and reason not in ("", "None") else ""
            counts[state.lower() + held] += 1
        return ", ".join(f"{count} {state}" for state, count in counts.most_common())

    def _squeue(self) -> dict[str, tuple[str, str]] | None:
        command = ["squeue", "--noheader", "--array", "--name", self.name, "--user", getpass.getuser()]
        lines = _answer([*command, "--format", "%i|%T|%r"])
        return None if lines is None else {line[0]: (line[1], line[2]) for line in lines if len(line) >= 3}


def _sacct(numbers: Iterable[str]) -> dict[str, str] | None:
    """The newest state on record of each job."""
    whole = sorted({number.partition("_")[0] for number in numbers})
    lines = _answer(
        ["sacct", "--allocations", "--noheader", "--parsable2", "--format", "JobID,State", "-j", ",".join(whole)]
    )
    return (
        None if lines is None else {job: state for line in lines if len(line) >= 2 for job, state in _each(*line[:2])}
    )


def _each(number: str, state: str) -> list[tuple[str, str]]:
    """The jobs of a line: `7_[2-4,6%2]` stands for four that still wait together."""
    word = (state.split() or [UNKNOWN])[0].rstrip("+")
    job, bracket, places = number.partition("_[")
    if not bracket:
        return [(number, word)]
    found = []
    for part in places.rstrip("]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found += [(f"{job}_{place}", word) for place in range(int(first), int(last or first) + 1)]
    return found


def _answer(command: Sequence[str]) -> list[list[str]] | None:
    """The fields of the lines that a command prints, None if it is not there, fails or says nothing in time."""
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=ANSWER_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return [line.split("|") for line in done.stdout.splitlines()]
