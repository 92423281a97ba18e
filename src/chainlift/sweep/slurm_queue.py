"""States of Slurm jobs: those in the queue, and how those ended that have left it.

squeue lists the queue; the accounting (sacct) also knows ended jobs, some seconds late. One of the two is enough, as a
site may have no accounting.
"""

from __future__ import annotations

import getpass
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Sequence

ASK_SECONDS = 10.0  # between two queries: the controller serves the whole cluster
ANSWER_SECONDS = 60.0  # for one answer
MAY_RETURN = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED")
"""States after which Slurm queues a job again if the cluster's settings say so (JobRequeue, PreemptMode=REQUEUE)."""
IN_QUEUE = (
    "PENDING", "RUNNING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "COMPLETING", "CONFIGURING", "SUSPENDED",
    "RESIZING", "STOPPED", "SIGNALING", "STAGE_OUT", "RESV_DEL_HOLD", "SPECIAL_EXIT",
)  # fmt: skip
UNKNOWN = "UNKNOWN"


class Queue:
    """The states of the jobs with one name, by number (`12_3` in an array); queried at most every ASK_SECONDS."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._queued: dict[str, tuple[str, str]] | None = None
        self._ended: dict[str, str] | None = None
        self._asked = float("-inf")
        self._answered = time.monotonic()

    def ask(self, numbers: Iterable[str]) -> None:
        """Update the states, unless the last query is younger than ASK_SECONDS."""
        if time.monotonic() - self._asked < ASK_SECONDS:
            return
        self._asked = time.monotonic()
        self._queued, self._ended = self._squeue(), _sacct(numbers)
        if self.answers:
            self._answered = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """Seconds since Slurm's last answer."""
        return time.monotonic() - self._answered

    @property
    def answers(self) -> bool:
        """Whether Slurm has answered the last query."""
        return self._queued is not None or self._ended is not None

    def state(self, number: str) -> str:
        """A job's state in one word; UNKNOWN if Slurm does not know the job, or does not answer."""
        if self._queued is not None and number in self._queued:
            return self._queued[number][0]
        return (self._ended or {}).get(number, UNKNOWN)

    def has(self, number: str) -> bool:
        """Whether a job is in the queue; assumed while Slurm does not answer."""
        if self._queued is not None:
            return number in self._queued
        return self._ended is None or self.state(number) in IN_QUEUE

    def summary(self, numbers: Sequence[str]) -> str:
        """Counts of the jobs' states, with Slurm's reasons for holding jobs: `2 pending (Priority), 1 running`."""
        counts: Counter[str] = Counter()
        for number in numbers:
            state, reason = (self._queued or {}).get(number, (self.state(number), ""))
            why_held = f" ({reason})" if state == "PENDING" and reason not in ("", "None") else ""
            counts[state.lower() + why_held] += 1
        return ", ".join(f"{count} {state}" for state, count in counts.most_common())

    def _squeue(self) -> dict[str, tuple[str, str]] | None:
        """{number: (state, reason)} of the queued jobs; None without an answer."""
        command = ["squeue", "--noheader", "--array", "--name", self.name, "--user", getpass.getuser()]
        lines = _answer([*command, "--format", "%i|%T|%r"])
        return None if lines is None else {line[0]: (line[1], line[2]) for line in lines if len(line) >= 3}


def _sacct(numbers: Iterable[str]) -> dict[str, str] | None:
    """{number: newest recorded state} of jobs; None without an answer."""
    arrays = sorted({number.partition("_")[0] for number in numbers})
    lines = _answer(
        ["sacct", "--allocations", "--noheader", "--parsable2", "--format", "JobID,State", "-j", ",".join(arrays)]
    )
    if lines is None:
        return None
    return {job: state for line in lines if len(line) >= 2 for job, state in _states(*line[:2])}


def _states(number: str, state: str) -> list[tuple[str, str]]:
    """(number, state) of each job in a line of sacct: `7_[2-4,6%2]` stands for four jobs that still wait."""
    word = (state.split() or [UNKNOWN])[0].rstrip("+")
    job, bracket, tasks = number.partition("_[")
    if not bracket:
        return [(number, word)]
    states = []
    for part in tasks.rstrip("]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            states += [(f"{job}_{task}", word) for task in range(int(first), int(last or first) + 1)]
    return states


def _answer(command: Sequence[str]) -> list[list[str]] | None:
    """The fields of the lines that a command prints; None if it is missing, fails or times out."""
    try:
        process = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=ANSWER_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return [line.split("|") for line in process.stdout.splitlines()]
