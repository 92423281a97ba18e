"""Chains that show every second step: below 1/3, next-token prediction behaves like a blind learner.

A blind learner is at chance below 1/3. Above it, accuracy depends on the chain's own accuracy, which is only measured.
"""

from __future__ import annotations

from chainlift.claims import P_COT, Check, Claim, Grid, P, Threshold
from chainlift.claims.modulus.claim import ALLOWED, QUICK
from chainlift.theory.closed_forms import threshold

CLAIM = Claim(
    "leap",
    "Chains that show every second step: below 1/3 next-token prediction stays at chance, like a blind learner",
    Grid("leap", {P: (0.2, 0.28, 0.38, 0.45)}, (), QUICK, {P: (0.25, 0.42)}),
    (
        Threshold(threshold(2), ALLOWED * threshold(2)),
        Check("greedy accuracy", "greedy_accuracy", lambda place: 0.5 if place.x < 0.3 else None, 0.05, axis=P_COT),
        Check("greedy long share", "greedy_long_share", axis=P_COT),
        Check("sampled long share", "sampled_long_share", lambda place: place.x, 0.04, axis=P_COT),
        Check("sampled long responses that are gold", "sampled_chain_exactness", axis=P_COT),
    ),
    order=190,
)
