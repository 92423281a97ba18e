"""What the prompts of a measurement are, in words: fresh ones only where training has hardly seen any."""

from __future__ import annotations

from typing import Any

FRESH = 0.01  # share seen in training below which prompts are called fresh
MISSED = 0.01  # expected number of prompts that training has not seen, below which it has seen them all


def prompt_words(found: dict[str, Any], count: int | None = None) -> str:
    """`count` prompts in words, such as `2,048 fresh prompts`, or without a number.

    found: a summary or a measurement with the three keys of tasks/freshness.py; where it lacks them, nothing is said.
    """
    number = "" if count is None else f"{count:,} "
    share, different = found.get("prompts_seen_share"), found.get("prompts_different")
    if found.get("prompts_held_out"):
        return f"{number}prompts, none of them in training"
    if share is not None and share < FRESH:
        return f"{number}fresh prompts"
    if different is not None:
        told = f"{number}draws from the task's {different:,} prompts"
        return told if share is None else f"{told}, {_share(share, different)} of which training has seen"
    return f"{number}prompts" if share is None else f"{number}prompts, {_share(share, None)} of which training has seen"


def _share(share: float, different: int | None) -> str:
    """A share in words; all only if a missing prompt would be a surprise."""
    if different is not None and different * (1 - share) < MISSED:
        return "all"
    return f"about {100 * share:.0f} %" if share < 0.99 else "nearly all"
