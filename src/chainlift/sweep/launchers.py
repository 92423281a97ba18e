"""Who carries out the jobs of a sweep: a pool of processes here, a Ray cluster, or Slurm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields

from chainlift.settings import suggest
from chainlift.sweep import local
from chainlift.sweep.jobs import Job, Tell

OWN = {"workers": ("local", "slurm"), "threads": ("local",), "address": ("ray",), "cpus": ("ray", "slurm"),
       "gpus": ("ray", "slurm"), "partition": ("slurm",), "minutes": ("slurm",), "memory_gb": ("slurm",)}  # fmt: skip
"""Which launchers an option is for."""


@dataclass(frozen=True)
class Options:
    """A launcher and what it is told; ValueError in one line for what does not fit together."""

    launcher: str = "local"
    """local, ray or slurm."""
    workers: int | None = None
    """Runs at once; default: one a core on this machine, as many as Slurm gives."""
    threads: int | None = None
    """CPU threads of each local run; default: the cores divided among the workers."""
    address: str | None = None
    """Of a Ray cluster that is there, HOST:PORT; default: one is started here, and ended."""
    cpus: float | None = None
    """Each run's, on Ray and Slurm; default 1."""
    gpus: float | None = None
    """Each run's, on Ray and Slurm; default 0."""
    partition: str | None = None
    """Of Slurm."""
    minutes: int | None = None
    """Longest time of a Slurm job; default 240."""
    memory_gb: float | None = None
    """Of a Slurm job; default: the partition's."""

    def __post_init__(self) -> None:
        known = ("local", "ray", "slurm")
        if self.launcher not in known:
            told = f"{suggest(self.launcher, known)}; known: {', '.join(known)}"
            raise ValueError(f"--launcher: no launcher {self.launcher!r}{told}")
        for one in fields(self)[1:]:
            value, name = getattr(self, one.name), one.name.removesuffix("_gb")
            if value is None:
                continue
            if self.launcher not in OWN[one.name]:
                raise ValueError(f"--{name} is for --launcher {' or '.join(OWN[one.name])}")
            lowest = 0 if name == "gpus" else 1
            if isinstance(value, int | float) and value < lowest:
                raise ValueError(f"--{name} is {value:g}; allowed: {lowest} and more")


def run(jobs: Sequence[Job], tell: Tell, options: Options) -> bool:
    """Whether all jobs were carried out (failed ones included); False if the user stopped them.

    `tell` hears of each job's end. ValueError in one line if the launcher's extra is not installed, or its cluster does
    not answer.
    """
    if options.launcher == "ray":
        from chainlift.sweep import on_ray

        return on_ray.run_jobs(jobs, tell, address=options.address, cpus=options.cpus or 1, gpus=options.gpus or 0)
    if options.launcher == "slurm":
        from chainlift.sweep import on_slurm

        resources = on_slurm.Resources(
            cpus=int(options.cpus or 1),
            gpus=int(options.gpus or 0),
            partition=options.partition,
            minutes=options.minutes or on_slurm.Resources.minutes,
            memory_gb=options.memory_gb,
            at_once=options.workers,
        )
        return on_slurm.run_jobs(jobs, tell, resources)
    workers = options.workers or os.cpu_count() or 1
    return local.run_jobs(jobs, tell, workers=workers, threads=options.threads)
