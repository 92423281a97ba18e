"""What runs inside a Slurm job: a job of a sweep, which ends its step and goes back into the queue when it is warned.

submitit answers the warning (SIGUSR2) at once, in the middle of a step: it writes down what to run again and ends the
process. What the run did since its last checkpoint would be lost, so the run is asked to stop first.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from chainlift.sweep.jobs import Job, Status, timed_work


class Task:
    """A job as submitit calls it."""

    def __init__(self, job: Job, threads: int) -> None:
        self.job = job
        self.threads = threads

    def __call__(self) -> tuple[Status, float]:
        """How the job ended and its seconds; does not return where the job goes back into the queue."""
        warning = getattr(signal, "SIG" + os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2"))
        queue_again, idle = signal.getsignal(warning), signal.getsignal(signal.SIGTERM)
        warned = False

        def warn(number: int, frame: Any) -> None:
            nonlocal warned
            if warned:
                return
            warned = True
            stop = signal.getsignal(signal.SIGTERM)
            if callable(stop) and stop != idle:
                stop(signal.SIGTERM, frame)  # the run is in its loop, and ends it with a checkpoint
            elif callable(queue_again):
                queue_again(number, frame)  # it has not begun: it loads, or waits for the folder's lock

        signal.signal(warning, warn)
        status, seconds = timed_work(self.job, self.threads)
        if status == "stopped" and warned and callable(queue_again):
            queue_again(warning, None)
        return status, seconds

    def checkpoint(self) -> Any:
        """What submitit runs when the job comes out of the queue again: the same, from the run's own checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
