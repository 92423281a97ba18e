"""Whole runs: `chainlift run RECIPE` from start to page, and the same recipe welded from transformers and TRL.

Each side runs in its own process, so imports and start-up count. Runs of the two sides are interleaved, so a machine
that slows down for a while slows both. The operating system reports each process's core seconds (user and system, all
threads) and peak resident memory; wall time is measured here. Each repetition has its own seed, the same on both sides.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from chainlift.bench import memory, weld
from chainlift.bench.timing import Ratio
from chainlift.stages.recipe import Recipe

OURS, WELD = "chainlift run", "transformers and TRL"
LOOK = 0.05  # seconds between two checks of a process


@dataclass(frozen=True)
class WholeRun:
    """One run of one side."""

    side: str
    seed: int
    wall_seconds: float
    core_seconds: float
    peak_bytes: int
    accuracies: dict[str, dict[str, float]]
    """{stage: {greedy, sampled, length}} at the end of each stage."""

    @property
    def line(self) -> str:
        """The run in one readable line."""
        greedy = ", ".join(f"{stage} {accuracies['greedy']:.3f}" for stage, accuracies in self.accuracies.items())
        return (
            f"{self.side}, seed {self.seed}: {self.wall_seconds:.1f} s, {self.core_seconds:.1f} core seconds, "
            f"{self.peak_bytes / 2**20:,.0f} MiB; greedy accuracy: {greedy}"
        )


@dataclass(frozen=True)
class Whole:
    """All runs of both sides."""

    runs: list[WholeRun]

    def of(self, side: str) -> list[WholeRun]:
        """The runs of a side, by repetition."""
        return [run for run in self.runs if run.side == side]

    def ratio(self, quantity: str) -> Ratio | None:
        """The weld's value relative to ours, within repetitions; None without a weld."""
        pairs = list(zip(self.of(OURS), self.of(WELD), strict=False))
        ratios = [getattr(theirs, quantity) / getattr(ours, quantity) for ours, theirs in pairs]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def as_dict(self) -> dict[str, Any]:
        """The runs and their ratios for JSON."""
        quantities = ("wall_seconds", "core_seconds", "peak_bytes")
        ratios = {quantity: self.ratio(quantity) for quantity in quantities}
        return {
            "runs": [asdict(run) for run in self.runs],
            "ratios": {name: ratio._asdict() for name, ratio in ratios.items() if ratio is not None},
        }


def check(recipe: Recipe) -> None:
    """Raise ValueError if the recipe cannot be welded, or this system does not report a process's resources."""
    if not hasattr(os, "wait4"):
        raise ValueError("--whole: this system does not report what a process used; Linux and macOS do")
    weld.check(recipe)


def compare(
    recipe: Recipe,
    repeats: int,
    *,
    with_weld: bool,
    before: Callable[[str], None],
    after: Callable[[WholeRun], None],
) -> Whole:
    """Run each side `repeats` times, interleaved, on seeds that start at the recipe's.

    before: receives a progress line before each run. after: receives each run. RuntimeError with the last line of the
    error if a side fails.
    """
    runs = []
    for seed in range(recipe.seed, recipe.seed + repeats):
        sides = [(OURS, _ours)] + ([(WELD, _welded)] if with_weld else [])
        for side, command in sides[:: 1 if (seed - recipe.seed) % 2 == 0 else -1]:
            number = f"{len(runs) + 1} of {repeats * len(sides)}"
            before(f"whole run {number}: {side}, seed {seed}{_left(runs, repeats, len(sides))}")
            with TemporaryDirectory() as folder:
                runs.append(_measured(side, seed, *command(recipe.model_copy(update={"seed": seed}), Path(folder))))
            after(runs[-1])
    return Whole(runs)


def _left(runs: list[WholeRun], repeats: int, num_sides: int) -> str:
    """Estimated remaining time as text, from the mean of the runs so far; empty before both sides have run."""
    if len(runs) < num_sides:
        return ""
    seconds = statistics.mean(run.wall_seconds for run in runs) * (repeats * num_sides - len(runs))
    return f", about {seconds:.0f} s left"


def _ours(recipe: Recipe, folder: Path) -> tuple[list[str], Callable[[str], dict[str, Any]]]:
    """(command, function from its output to accuracies) of `chainlift run`."""
    file = _recipe_file(recipe, folder)
    command = [sys.executable, "-m", "chainlift", "run", str(file), "--out", str(folder / "runs"), "--trust", "--json"]

    def accuracies(output: str) -> dict[str, Any]:
        summary = json.loads(output.splitlines()[-1])
        keys = {"greedy": "greedy_accuracy", "sampled": "sampled_accuracy", "length": "greedy_length_median"}
        return {stage: {name: summary[stage][key] for name, key in keys.items()} for stage in summary["stages"]}

    return command, accuracies


def _welded(recipe: Recipe, folder: Path) -> tuple[list[str], Callable[[str], dict[str, Any]]]:
    """(command, function from its output to accuracies) of the weld."""
    command = [sys.executable, "-m", "chainlift.bench.weld", str(_recipe_file(recipe, folder))]
    return command, lambda output: json.loads(output.splitlines()[-1])


def _recipe_file(recipe: Recipe, folder: Path) -> Path:
    """Write the recipe as JSON, which is valid YAML."""
    file = folder / f"{recipe.name}.yaml"
    file.write_text(json.dumps(recipe.model_dump(mode="json")), encoding="utf-8")
    return file


def _measured(side: str, seed: int, command: list[str], accuracies: Callable[[str], dict[str, Any]]) -> WholeRun:
    """Run a command to its end, and measure its resources."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "HF_HUB_OFFLINE": "1"}
    with TemporaryDirectory() as scratch:
        output, errors = Path(scratch, "out"), Path(scratch, "err")
        with output.open("wb") as out, errors.open("wb") as err:
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
            try:
                status, usage, peak = _waited(process.pid)
            except BaseException:  # Ctrl-C: do not leave the run behind
                process.kill()
                raise
            wall = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise RuntimeError(f"{side} failed: {lines[-1] if lines else f'exit status {process.returncode}'}")
        stage_accuracies = accuracies(output.read_text(encoding="utf-8"))
    return WholeRun(side, seed, wall, usage.ru_utime + usage.ru_stime, peak, stage_accuracies)


def _waited(pid: int) -> tuple[int, Any, int]:
    """Wait for a process; (status, usage, peak resident bytes).

    On Linux the peak is read while the process runs, because ru_maxrss starts at the peak of this process.
    """
    peak = 0
    while True:
        peak = memory.peak_of(pid) or peak
        ended_pid, status, usage = os.wait4(pid, os.WNOHANG)
        if ended_pid:
            return status, usage, peak or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        time.sleep(LOOK)
