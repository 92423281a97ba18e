"""Every claim by its name."""

from __future__ import annotations

import difflib

from chainlift.sweep import linear_claims, scaling_claims, star_claims
from chainlift.sweep.claims import Claim

CLAIMS: dict[str, Claim] = {
    claim.name: claim for claim in (*linear_claims.CLAIMS, *scaling_claims.CLAIMS, *star_claims.CLAIMS)
}


def named(names: list[str]) -> list[Claim]:
    """The claims of these names; ValueError in one line for one that is not known."""
    for name in names:
        if name not in CLAIMS:
            near = difflib.get_close_matches(name, CLAIMS, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"no claim {name!r}{hint}; known: {', '.join(CLAIMS)}")
    return [CLAIMS[name] for name in names]
