"""Every claim by its name, the paper's first."""

from __future__ import annotations

from chainlift.settings import suggest
from chainlift.sweep import (
    direct_claim,
    language_claim,
    lift_claims,
    linear_claims,
    parity_claims,
    posttrain_claims,
    reweighting_claim,
    scaling_claim,
    star_claims,
    threshold_claims,
)
from chainlift.sweep.claims import Claim

CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        *parity_claims.CLAIMS,
        *posttrain_claims.CLAIMS,
        reweighting_claim.CLAIM,
        *star_claims.CLAIMS,
        *linear_claims.CLAIMS,
        scaling_claim.CLAIM,
        direct_claim.CLAIM,
        *lift_claims.CLAIMS,  # with the longest runs; begun last, they would keep one worker waiting for the other
        *threshold_claims.CLAIMS,
        language_claim.CLAIM,
    )
}


def named(names: list[str]) -> list[Claim]:
    """The claims of these names; ValueError in one line for one that is not known."""
    for name in names:
        if name not in CLAIMS:
            raise ValueError(f"no claim {name!r}{suggest(name, CLAIMS)}; known: {', '.join(CLAIMS)}")
    return [CLAIMS[name] for name in names]
