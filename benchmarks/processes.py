"""A run by several processes of one thread each against the same run by one process of as many threads, as a ratio.

    python -m benchmarks.processes [--processes 2] [--repeats 3] [RECIPE] [KEY=VALUE ...]

Whole commands are timed in turn, each into a new folder; starting Python is inside, and more of it where there are
more processes, so that the recipe should take a minute. On one CPU nothing is to be gained, as one process uses every
core: the ratio is then the price of exchanging gradients and of uneven shares.
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
    """A run of the recipe that is launched so, with so many threads a process."""

    def act(step: int) -> Repetition:
        with TemporaryDirectory() as folder:
            command = [sys.executable, "-m", *launcher, "run", *recipe, f"threads={threads}", "device=cpu"]
            begun = time.perf_counter()
            done = subprocess.run([*command, "--out", str(Path(folder) / "runs")], stdout=subprocess.DEVNULL)
            if done.returncode != 0:  # it has said why
                sys.exit(done.returncode)
            return Repetition(time.perf_counter() - begun)

    def make() -> Action:
        return act

    return Case(name, "ours", make)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="*", default=["headline", *SHORT], help="default: a short headline")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="after one that is not counted")
    chosen = parser.parse_args()
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(chosen.processes), "-m", "chainlift"]
    cases = [
        case(ONE, ["chainlift"], chosen.recipe, chosen.processes),
        case(SEVERAL, torchrun, chosen.recipe, 1),
    ]
    done = interleaved(cases, chosen.repeats)
    for name, own in done.items():
        print(f"{name}: {format_seconds(median_seconds(own))}")
    print(
        f"{chosen.processes} processes take {ratio(done[SEVERAL], done[ONE])} times as long, {chosen.repeats} repeats"
    )


if __name__ == "__main__":
    main()
