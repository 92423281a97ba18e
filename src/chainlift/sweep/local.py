"""Launcher on this machine: a process for each job; a job whose process is killed restarts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from chainlift.sweep.jobs import TRIES, Job, Status, Tell, ready, work
from chainlift.sweep.waiting import Say, Statements, at_work, counted, silent

_EXIT: dict[Status, int] = {"done": 0, "failed": 1, "stopped": 130}
LOOK_SECONDS = 5.0  # between two checks whether a line about the waiting is due


@dataclass
class _Worker:
    """A process at work on a job, and when it was started."""

    job: Job
    process: BaseProcess
    since: float


def run_jobs(jobs: Sequence[Job], tell: Tell, *, workers: int, threads: int = 1, say: Say = silent) -> bool:
    """Carry out jobs; True when all have ended, failed ones included, False if the user stopped them.

    tell: receives the end of each job. say: receives, from time to time, a line about what the sweep waits for. A job
    that shares stages begins once they are trained. A job whose process is killed (out of memory, kill -9) goes on from
    its checkpoint in another one, with at most TRIES processes in all. Ctrl-C ends the processes at their next step.
    """
    context: Any = multiprocessing.get_context(start_method())  # its class depends on the method
    context.set_forkserver_preload(["chainlift.stages.pipeline"])
    statements = Statements(say)
    waiting, running, tries = list(jobs), [], dict.fromkeys((job.run_id for job in jobs), 0)
    open_ids = {job.run_id for job in jobs}
    try:
        while waiting or running:
            while len(running) < workers and (job := ready(waiting, open_ids)) is not None:
                waiting.remove(job)
                tries[job.run_id] += 1
                process = context.Process(target=_work_and_exit, args=(job, threads))
                with _without_ctrl_c(), _without_working_directory(), _without_main():
                    process.start()
                running.append(_Worker(job, process, time.monotonic()))
            if not wait([worker.process.sentinel for worker in running], timeout=LOOK_SECONDS):
                since = {worker.job.run_id: (worker.job, worker.since) for worker in running}
                statements.waiting(partial(at_work, since, len(waiting)))
            for worker in [worker for worker in running if not worker.process.is_alive()]:
                running.remove(worker)
                job, code = worker.job, worker.process.exitcode
                assert code is not None
                was_killed = code < 0
                if was_killed and tries[job.run_id] < TRIES:
                    waiting.insert(0, job)
                    continue
                if was_killed:
                    job.folder.fail(f"its process was ended by {signal_name(-code)}, {TRIES} times in a row")
                open_ids.discard(job.run_id)
                status: Status = "done" if code == 0 else "stopped" if code == _EXIT["stopped"] else "failed"
                tell(job, status, time.monotonic() - worker.since)
                statements.happened()
    except KeyboardInterrupt:
        _stop(running, say)
        return False
    return True


def start_method() -> Literal["forkserver", "spawn"]:
    """The start method of multiprocessing: `forkserver`, which imports everything once, where that is safe.

    On macOS a fork of a process that has loaded system libraries may crash, and Windows has no fork.
    """
    return "forkserver" if sys.platform == "linux" else "spawn"


def signal_name(number: int) -> str:
    """A signal's name, or its number if it has no name, as most real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _work_and_exit(job: Job, threads: int) -> None:
    """Work on one job and exit with the code of its status; stop with a checkpoint if the driver is gone."""
    threading.Thread(target=_end_with_driver, daemon=True).start()
    raise SystemExit(_EXIT[work(job, threads=threads)])


def _end_with_driver() -> None:
    """Stop this process at its next step once its driver has ended: a killed driver cannot stop it.

    The parent process cannot serve as a sign: it is the fork server, which lives as long as its children.
    """
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    if os.name == "nt":  # there os.kill ends a process at once
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Block Ctrl-C in processes started within: a terminal sends it to all processes, and the driver passes it on.

    A process that received it twice would end at once, without a checkpoint. Windows cannot block a signal; there a
    process receives both.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # otherwise start() starts it, and removes the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_working_directory() -> Iterator[None]:
    """Keep the working directory off the path of a fork server started within, as it is off the path of commands.

    The processes that it forks receive this process's path.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep processes started within from importing the script that this one runs: they would start its sweep, too.

    A job holds all that it needs, or names the modules that do.
    """
    main = sys.modules["__main__"]
    before = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    try:
        vars(main).pop("__file__", None)
        main.__spec__ = None
        yield
    finally:
        vars(main).update(before)


def _stop(running: Sequence[_Worker], say: Say) -> None:
    """Let all processes keep a checkpoint and end, and wait for them."""
    for worker in running:
        if worker.process.is_alive():
            worker.process.terminate()
    if running:
        runs = counted(len(running), "run")
        say(f"  waiting for {runs} to keep a checkpoint after this step; Ctrl-C again ends at once")
    try:
        for worker in running:
            worker.process.join()
    except KeyboardInterrupt:  # a second time: at once
        for worker in running:
            worker.process.kill()
