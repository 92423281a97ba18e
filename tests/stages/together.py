"""What a process of tests/stages/test_parallel.py runs under torchrun: several recipes in turn, without their pages.

python together.py RECIPE OUT plain|shard OVERRIDES...      OVERRIDES: a comma-separated list
"""

import sys
from pathlib import Path

from chainlift.report.terminal.reporter import Reporter
from chainlift.stages import pipeline, recipe


def run_all(source: Path, out: Path, variants: list[str], *, shard: bool = False) -> None:
    for number, variant in enumerate(variants):
        one = recipe.load(str(source), variant.split("|") if variant else None)
        pipeline.run(one, out / str(number), Reporter(quiet=True), shard=shard)


if __name__ == "__main__":
    run_all(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4:], shard=sys.argv[3] == "shard")
