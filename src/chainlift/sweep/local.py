"""A pool of processes on this machine: one process a job, threads divided among them, killed ones restarted."""

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
LOOK_SECONDS = 5.0  # between two looks at whether something is to be said


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    since: float


def run_jobs(jobs: Sequence[Job], tell: Tell, *, workers: int, threads: int = 1, say: Say = silent) -> bool:
    """Whether all was carried out (failed jobs included); False if the user stopped it. `tell` receives each end, `say`
    from time to time what the sweep waits for.

    A job whose stage another one trains begins after that one. A job whose process is killed (out of memory, kill -9)
    restarts from its checkpoint, TRIES times in all. Ctrl-C ends the processes at their next step.
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
                process = context.Process(target=_worker, args=(job, threads))
                with _without_ctrl_c(), _without_working_directory(), _without_main():
                    process.start()
                running.append(_Running(job, process, time.monotonic()))
            if not wait([one.process.sentinel for one in running], timeout=LOOK_SECONDS):
                since = {one.job.run_id: (one.job, one.since) for one in running}
                statements.waiting(partial(at_work, since, len(waiting)))
            for one in [one for one in running if not one.process.is_alive()]:
                running.remove(one)
                code = one.process.exitcode
                assert code is not None
                killed = code < 0
                if killed and tries[one.job.run_id] < TRIES:
                    waiting.insert(0, one.job)
                    continue
                if killed:
                    one.job.folder.fail(f"its process was ended by {signal_name(-code)}, {TRIES} times in a row")
                open_ids.discard(one.job.run_id)
                status: Status = "done" if code == 0 else "stopped" if code == _EXIT["stopped"] else "failed"
                tell(one.job, status, time.monotonic() - one.since)
                statements.happened()
    except KeyboardInterrupt:
        _stop(running, say)
        return False
    return True


def start_method() -> Literal["forkserver", "spawn"]:
    """How processes are started: where that is safe, a process that has imported everything once is copied.

    On macOS a copy of a process that has loaded its system libraries may crash, and Windows knows no copies.
    """
    return "forkserver" if sys.platform == "linux" else "spawn"


def signal_name(number: int) -> str:
    """A signal's name, or its number where it has none, as most real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _worker(job: Job, threads: int) -> None:
    """The life of a process: one job, and an orderly end if the driver is gone."""
    threading.Thread(target=_end_with_driver, daemon=True).start()
    raise SystemExit(_EXIT[work(job, threads=threads)])


def _end_with_driver() -> None:
    """Ask this process to stop at its next step once its driver has ended, which would tell it otherwise.

    The driver is not the process that forked this one: the fork server lives as long as its children do.
    """
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    if os.name == "nt":  # where os.kill ends a process at once
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started within do not receive Ctrl-C, which a terminal sends to all: their driver passes it on, once.

    Twice would mean: end at once, without a checkpoint. Windows cannot hold a signal back; there they receive both.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # else start() begins it, and takes the block away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_working_directory() -> Iterator[None]:
    """The fork server, if it is started within, imports nothing from the working directory, as commands do not.

    The processes that it forks are given the path of this one.
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
    """A process started within does not import the script that this one runs: it would begin the script's sweep, too.

    What a job needs is in the job, and in modules that it names.
    """
    main = sys.modules["__main__"]
    before = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    try:
        vars(main).pop("__file__", None)
        main.__spec__ = None
        yield
    finally:
        vars(main).update(before)


def _stop(running: Sequence[_Running], say: Say) -> None:
    """Ask all processes to keep a checkpoint and end, and see them out."""
    for one in running:
        if one.process.is_alive():
            one.process.terminate()
    if running:
        runs = counted(len(running), "run")
        say(f"  waiting for {runs} to keep a checkpoint after this step; Ctrl-C again ends at once")
    try:
        for one in running:
            one.process.join()
    except KeyboardInterrupt:  # a second time: at once
        for one in running:
            one.process.kill()
