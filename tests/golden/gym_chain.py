"""A chain for reasoning-gym's chain_sum: the case `gym-chain` names it."""

from __future__ import annotations

from typing import Any


def expression(entry: dict[str, Any]) -> str:
    """The sum as it is written in the question."""
    return f"{entry['metadata']['expression']} ="
