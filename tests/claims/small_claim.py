"""A claim of four runs of seconds, for tests of what is made of claims."""

from pathlib import Path

from chainlift.claims.check import P_COT, Check
from chainlift.claims.claim import Claim
from chainlift.claims.grid import Grid
from chainlift.report.claim_outcome import Outcome
from chainlift.report.terminal.reporter import Reporter
from chainlift.sweep import reproduce as reproducing
from chainlift.sweep.launchers import Options

SMALL = ("task.d=6", "pretrain.steps=300", "evaluate.every=300", "evaluate.prompts=256")
RUNS = Grid("linear-ntp", {"mixture.p_cot": (0.2, 0.5)}, SMALL)
CHECK = Check("long share", "exact_long_share", lambda at: at.p, 0.05, axis=P_COT)
CLAIM = Claim("small", "the long share is p_cot", RUNS, (CHECK,))


def reproduce(claim: Claim, out: Path, *, quick: bool = False, quiet: bool = True) -> Outcome:
    outcomes: list[Outcome] = []
    options = Options(workers=2, threads=1)
    reporter = Reporter(quiet=quiet)
    keep = outcomes.append
    assert reproducing.reproduce([claim], out, reporter, options, seeds=[0, 1], quick=quick, on_outcome=keep) == []
    return outcomes[0]
