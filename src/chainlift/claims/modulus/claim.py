"""Sums modulo K: the threshold at which greedy responses become long."""

from __future__ import annotations

from functools import partial

from chainlift.claims import P_COT, QUICK_SUMS, Check, Claim, Grid, P, Threshold, each_of, having
from chainlift.theory.closed_forms import threshold

MODULI, QUICK_MODULI = (2, 3, 5, 7), (2, 3)
AROUND, QUICK_AROUND = (0.75, 0.9, 1.1, 1.25), (0.8, 1.2)
"""p_cot of the runs, as multiples of the predicted threshold."""
ALLOWED = 0.1
"""The largest relative distance of a seed's threshold from the prediction."""
QUICK = (*QUICK_SUMS, "pretrain.steps=280", "evaluate.every=280")
_check = partial(Check, axis=P_COT, series="K {recipe.task.modulus}")


def _grid(K: int) -> Grid:
    """The grid of runs around the threshold of K."""
    shares, quick_shares = ([round(factor * threshold(K), 4) for factor in around] for around in (AROUND, QUICK_AROUND))
    quick = QUICK if K in QUICK_MODULI else None
    return Grid("modulus", {P: shares}, (f"task.modulus={K}",), quick, {P: quick_shares})


CLAIM = Claim(
    "modulus",
    "Sums modulo K: greedy responses become long at p_cot 1 / (K + 1); a third is parity's, the law is of mixtures",
    each_of(*map(_grid, MODULI)),
    (
        *(
            Threshold(threshold(K), ALLOWED * threshold(K), series=f"K {K}", where=having("task.modulus", K))
            for K in MODULI
        ),
        _check("greedy long share", "greedy_long_share"),
        _check("greedy accuracy", "greedy_accuracy"),
        _check("sampled long share", "sampled_long_share", lambda place: place.x, 0.04),
        _check("sampled long responses that are gold", "sampled_chain_exactness"),
    ),
    order=170,
)
