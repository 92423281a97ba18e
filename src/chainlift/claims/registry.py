"""Registry of all claims by name; a claim is any folder with `claims/<name>/claim.py`, and no list names it."""

from __future__ import annotations

import importlib
from pathlib import Path

from chainlift.claims.claim import Claim
from chainlift.settings import suggest

PACKAGE = __name__.rpartition(".")[0]


def _shipped() -> dict[str, Claim]:
    """{name: claim} of the folders beside this file, by `Claim.order`."""
    claims: list[Claim] = []
    for file in Path(__file__).parent.glob("*/claim.py"):
        claim = importlib.import_module(f"{PACKAGE}.{file.parent.name}.claim").CLAIM
        assert claim.name == file.parent.name.replace("_", "-"), f"{claim.name} stands in {file.parent}"
        claims.append(claim)
    return {claim.name: claim for claim in sorted(claims, key=lambda claim: (claim.order, claim.name))}


CLAIMS = _shipped()


def claims_of(names: list[str]) -> list[Claim]:
    """The claims of these names; ValueError in one line for an unknown name."""
    for name in names:
        if name not in CLAIMS:
            raise ValueError(f"no claim {name!r}{suggest(name, CLAIMS)}; known: {', '.join(CLAIMS)}")
    return [CLAIMS[name] for name in names]
