"""The claim that RL changes the mode, not the skill: where its policy left the base, and pass@k on either side."""

from __future__ import annotations

import functools
from pathlib import Path

from chainlift.measure.finding import Finding
from chainlift.report.picture import Line, Lines, Picture
from chainlift.stages.before_after import BeforeAfter, before_after
from chainlift.sweep.claims import Claim, after
from chainlift.sweep.grid import Finished
from chainlift.sweep.parity_claims import lifts_runs
from chainlift.theory.groups import pass_at_k
from chainlift.theory.reweighting import mode_kl


def check_reweighting(finished: list[Finished]) -> list[Finding]:
    """Where RL moved the policy, in nats, and pass@k on either side of it; the base's against its closed form."""
    p = finished[0].recipe.mixture.last
    found = [_compared(run.folder) for run in finished]
    first, second = mode_kl(p, 2)
    rest = tuple(sum(one.kl[i] * one.reached[i] for i in range(2, len(one.kl))) for one in found)
    peak = tuple(float(max(range(len(one.kl)), key=lambda i, kl=one.kl: kl[i]) + 1) for one in found)
    lines = [
        Finding("KL at the first token (nats)", "", tuple(one.kl[0] for one in found), first, 0.2),
        Finding("KL at the decision to go on (nats)", "", tuple(one.kl[1] for one in found), second, 0.25),
        Finding("KL at all later tokens together (nats)", "", rest, 0.0, 0.25),
        Finding("token at which KL is largest", "", peak, 2.0, 0.0),
    ]
    gold = after("pretrain", "sampled_chain_exactness"), after("posttrain", "sampled_chain_exactness")
    for name, value in zip(("before RL", "after RL"), gold, strict=True):
        lines.append(
            Finding("sampled long responses that are gold", name, tuple(map(value, finished)), 1.0, 0.05, share=True)
        )
    for k in found[0].before:
        values = tuple(one.before[k] for one in found)
        predicted = pass_at_k(p, k, 2)
        lines.append(
            Finding(
                "pass@k", f"before RL, k {k}", values, predicted, 0.05, x=k, axis="k", series="before RL", share=True
            )
        )
    for k in found[0].after:
        values = tuple(one.after[k] for one in found)
        lines.append(
            Finding("pass@k", f"after RL, k {k}", values, 1.0, 0.02, x=k, axis="k", series="after RL", share=True)
        )
    return lines


def reweighting_pictures(finished: list[Finished]) -> list[Picture]:
    """(g) KL at each position, and pass@k before and after RL."""
    seeds, p = tuple(run.recipe.seed for run in finished), finished[0].recipe.mixture.last
    found = [_compared(run.folder) for run in finished]
    positions = tuple(float(i + 1) for i in range(len(found[0].kl)))
    first, second = mode_kl(p, 2)
    predicted = Line("predicted", positions, ((first, second, *(0.0,) * (len(positions) - 2)),), predicted=True)
    measured = Line("measured", positions, tuple(tuple(one.kl) for one in found))
    kl = Lines("KL(after || before) by position", "output token", "nats", (predicted, measured))
    ks = tuple(map(float, found[0].before))
    lines = (
        Line("before RL, predicted", ks, (tuple(pass_at_k(p, int(k), 2) for k in ks),), predicted=True),
        Line("before RL", ks, tuple(tuple(one.before.values()) for one in found)),
        Line("after RL", ks, tuple(tuple(one.after.values()) for one in found)),
    )
    rates = Lines("pass@k before and after RL", "k", "pass@k", lines, log_x=True, share=True, y_range=(0.45, 1.02))
    return [Picture("kl-and-pass-at-k", "RL changes the mode, not the skill", seeds, (kl, rates))]


@functools.lru_cache(maxsize=64)
def _compared(folder: Path) -> BeforeAfter:
    return before_after(folder)


CLAIM = Claim(
    "reweighting",
    "RL changes the mode, not the skill: its KL to the base sits at the first token and the decision to go on, and "
    "the base's pass@k reaches what RL makes the first answer",
    lifts_runs,
    check_reweighting,
    seeds=tuple(range(10)),
    pictures=reweighting_pictures,
)
