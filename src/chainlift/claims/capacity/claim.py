"""Deeper and wider transformers do not rescue next-token prediction of parity below the threshold."""

from __future__ import annotations

from functools import partial

from chainlift.claims import QUICK_SUMS, Axis, Check, Claim, Grid

SIZES = {"model.layers": (2, 4), "model.width": (128, 256)}
QUICK_SIZES = {"model.layers": (2, 3), "model.width": (64,)}
QUICK = ("task.d=12", *QUICK_SUMS, "pretrain.steps=280", "evaluate.every=70")
WIDTH = Axis("width", "{series}, width {x}", ("model.width",))
_check = partial(Check, axis=WIDTH, series="layers {recipe.model.layers}")

CLAIM = Claim(
    "capacity",
    "Deeper and wider transformers do not rescue next-token prediction below the threshold",
    Grid("capacity", SIZES, quick=QUICK, quick_settings=QUICK_SIZES),
    (
        _check("greedy accuracy", "greedy_accuracy", 0.5, 0.05),
        _check("greedy length (median)", "greedy_length_median", 1.0),
        _check("sampled long share", "sampled_long_share", lambda place: place.p, 0.04),
        _check("sampled long responses that are gold", "sampled_chain_exactness"),
    ),
    order=40,
)
