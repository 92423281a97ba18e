"""Time of a run by several processes of one thread each, relative to one process of as many threads.

    python -m benchmarks.processes [--processes 2] [--repeats 3] [RECIPE] [KEY=VALUE ...]

Whole commands are timed, interleaved, each with a new folder. The time includes starting Python in every process, so
the recipe should take at least a minute. On one CPU several processes cannot be faster, because one process uses all
cores: the ratio is then the cost of exchanging gradients and of uneven shares.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from chainlift.bench.result import format_seconds
from chainlift.bench.timing import Action, Case, Repetition, interleaved, median_seconds, ratio

SHORT = ("pretrain.steps=150", "posttrain.steps=10", "continued_pretrain=null")
ONE, SEVERAL = "one process", "several processes"


def case(name: str, launcher: Sequence[str], recipe: Sequence[str], threads: int) -> Case:
    """A run of the recipe by `launcher`, with `threads` threads per process."""

    def act(step: int) -> Repetition:
        with TemporaryDirectory() as folder:
            command = [sys.executable, "-m", *launcher, "run", *recipe, f"threads={threads}", "device=cpu"]
            started = time.perf_counter()
            process = subprocess.run([*command, "--out", str(Path(folder) / "runs")], stdout=subprocess.DEVNULL)
            if process.returncode != 0:  # it has printed the reason
                sys.exit(process.returncode)
            return Repetition(time.perf_counter() - started)

    def make() -> Action:
        return act

    return Case(name, "ours", make)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="*", default=["headline", *SHORT], help="default: a short headline")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="after one that is not counted")
    options = parser.parse_args()
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(options.processes), "-m", "chainlift"]
    cases = [
        case(ONE, ["chainlift"], options.recipe, options.processes),
        case(SEVERAL, torchrun, options.recipe, 1),
    ]
    repetitions = interleaved(cases, options.repeats)
    for name, case_repetitions in repetitions.items():
        print(f"{name}: {format_seconds(median_seconds(case_repetitions))}")
    relative = ratio(repetitions[SEVERAL], repetitions[ONE])
    print(f"{options.processes} processes take {relative} times as long, {options.repeats} repeats")


if __name__ == "__main__":
    main()
