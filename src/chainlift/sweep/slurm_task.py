"""The task inside a Slurm job: it works on a job of a sweep, and queues it again when Slurm warns of the end.

submitit handles the warning (SIGUSR2) at once, in the middle of a step: it records what to run again and ends the
process. The steps since the last checkpoint would be lost, so the run stops with a checkpoint first.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from chainlift.sweep.jobs import Job, Status, timed_work


class Task:
    """A job of a sweep as a callable for submitit."""

    def __init__(self, job: Job, threads: int) -> None:
        self.job = job
        self.threads = threads

    def __call__(self) -> tuple[Status, float]:
        """Work on the job; (how it ended, seconds that it took). Does not return if the job is queued again."""
        warning = getattr(signal, "SIG" + os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2"))
        queue_again, default_stop = signal.getsignal(warning), signal.getsignal(signal.SIGTERM)
        warned = False

        def warn(number: int, frame: Any) -> None:
            nonlocal warned
            if warned:
                return
            warned = True
            stop = signal.getsignal(signal.SIGTERM)
            if callable(stop) and stop != default_stop:
                stop(signal.SIGTERM, frame)  # the run is in its loop, and ends it with a checkpoint
            elif callable(queue_again):
                queue_again(number, frame)  # the run has not begun: it loads, or waits for the folder's lock

        signal.signal(warning, warn)
        status, seconds = timed_work(self.job, self.threads)
        if status == "stopped" and warned and callable(queue_again):
            queue_again(warning, None)
        return status, seconds

    def checkpoint(self) -> Any:
        """The submission that submitit queues again: this task, which goes on from the run's checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
