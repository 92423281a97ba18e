"""Whether GRPO loses sampled accuracy by its mean over each response's tokens, and whether decisions apart cure it.

Two kinds of advantages, three aggregates and two weights of decisions are crossed, from one checkpoint a seed. A wrong
short answer has 2 tokens and a chain has 51. The mean over a response's tokens gives the EOS of the former the weight
1/2, and the decision to go on in the latter 1/51. So wrong short answers push EOS down, whatever their opening was,
more than right chains push going on up: the policy goes on after wrong openings too, and its openings stay wrong. If
this is the cause, the weights of the first two tokens alone decide it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainlift.claims import QUICK_SUMS, Check, Claim, Finished, Grid, summary_value
from chainlift.claims.check import Row
from chainlift.claims.grpo_length_bias.figure import ADVANTAGES, AGGREGATES, WEIGHT, cell, name_of, pictures
from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe

QUICK = ("task.d=12", *QUICK_SUMS, "pretrain.steps=280", "posttrain.lr=5e-4", "posttrain.steps=30")
ELSEWHERE = "decision_go_on_elsewhere"


def gained(quantity: str, key: str, sign: int, least: float) -> Row:
    """For the biased cells, by how much weighing the decisions apart raises (1) or lowers (-1) a measurement after RL.

    In every seed at least `least`. Without an effect, a difference that is symmetric about 0 passes a line in ten seeds
    less than once in 1,000 times.
    """
    measured = summary_value("posttrain", key)

    def row(finished: Sequence[Finished]) -> list[Finding]:
        findings = []
        for advantage in ADVANTAGES:
            together, apart = (
                {run.recipe.seed: measured(run) for run in finished if cell(run.recipe) == (advantage, *rest)}
                for rest in (("sequence_mean", None), ("sequence_mean", WEIGHT))
            )
            differences = tuple(sign * (apart[seed] - together[seed]) for seed in sorted(together))
            findings.append(
                Finding(quantity, name_of(advantage, "sequence_mean"), differences, least, check="at_least")
            )
        return findings

    return row


def _cells(biased: bool, quantity: str, key: str, least: float | None = None) -> list[Check]:
    """A check of each biased or unbiased cell: in every seed at least `least`; None: measured only.

    Biased are cells in which tokens of long responses, the first two included, weigh less than those of short ones.
    """
    kind = "each" if least is None else "at_least"
    return [
        Check(quantity, key, least, stage="posttrain", check=kind, series=name_of(*setting), where=_is(setting))
        for setting in ((a, g, w) for a in ADVANTAGES for g in AGGREGATES for w in (None, WEIGHT))
        if (setting[1:] == ("sequence_mean", None)) == biased
    ]


def _is(setting: tuple[str, str, float | None]) -> Callable[[Recipe], bool]:
    return lambda recipe: cell(recipe) == setting


CLAIM = Claim(
    "grpo-length-bias",
    "GRPO loses sampled accuracy by its mean over a response's tokens: it goes on after wrong openings; the other "
    "aggregates do not, nor does GRPO if the first two tokens weigh alike in every response",
    Grid(
        "headline",
        {
            "posttrain.advantage": ADVANTAGES,
            "posttrain.aggregate": AGGREGATES,
            "posttrain.decision_weight": ("null", WEIGHT),
        },
        ("posttrain.algorithm=grpo", "posttrain.steps=40", "continued_pretrain=null", "evaluate.every_rounds=5"),
        quick=QUICK,
    ),
    (
        *_cells(False, "greedy accuracy after RL, unbiased", "greedy_accuracy", 0.99),
        *_cells(False, "sampled accuracy after RL, unbiased", "sampled_accuracy", 0.95),
        *_cells(True, "greedy accuracy after RL, biased", "greedy_accuracy"),
        *_cells(True, "sampled accuracy after RL, biased", "sampled_accuracy"),
        gained("sampled accuracy gained by decisions apart", "sampled_accuracy", 1, 0.02),
        gained("P(go on) after a wrong opening, lowered by decisions apart", ELSEWHERE, -1, 0.05),
        *_cells(True, "P(go on) after a wrong opening, biased", ELSEWHERE),
        *_cells(False, "P(go on) after a wrong opening, unbiased", ELSEWHERE),
        *_cells(True, "P(right opening), biased", "decision_first"),
        *_cells(False, "P(right opening), unbiased", "decision_first"),
    ),
    seeds=tuple(range(10, 20)),
    order=55,
    pictures=pictures,
)
