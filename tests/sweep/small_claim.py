"""A claim of four runs of seconds, for tests of what is made of claims."""

from collections.abc import Sequence
from pathlib import Path

from chainlift.measure.finding import Finding
from chainlift.report.terminal import Reporter
from chainlift.stages.recipe import Recipe
from chainlift.sweep import reproduce as reproducing
from chainlift.sweep.claims import Claim, Outcome, by_seed
from chainlift.sweep.grid import Finished, cross
from chainlift.sweep.launchers import Options

SMALL = ("task.d=6", "pretrain.steps=300", "evaluate.every=300", "evaluate.prompts=256")


def runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    return cross("linear-ntp", {"mixture.p_cot": [0.2, 0.5]}, seeds, *SMALL)


def check(finished: list[Finished]) -> list[Finding]:
    shares = by_seed(finished, lambda run: run.summary["pretrain"]["exact_long_share"], "mixture.p_cot")
    return [Finding("long share", f"p_cot {p:g}", values, p, 0.05, x=p) for p, values in shares.items()]


CLAIM = Claim("small", "the long share is p_cot", runs, check)


def reproduce(claim: Claim, out: Path, *, quick: bool = False, quiet: bool = True) -> Outcome:
    found: list[Outcome] = []
    options = Options(workers=2, threads=1)
    reporter = Reporter(quiet=quiet)
    assert reproducing.reproduce([claim], out, reporter, options, seeds=[0, 1], quick=quick, tell=found.append) == []
    return found[0]
