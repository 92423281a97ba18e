"""Descriptions of a measurement's prompts; they are called fresh only if training has hardly seen any."""

from __future__ import annotations

from typing import Any

FRESH = 0.01  # share seen in training below which prompts are called fresh
MISSED = 0.01  # expected number of prompts that training has not seen, below which it has seen them all


def prompt_words(measured: dict[str, Any], count: int | None = None) -> str:
    """A description such as `2,048 fresh prompts`; without the number if `count` is None.

    measured: a summary or an evaluation; without the three keys of tasks/freshness.py it is just `prompts`.
    """
    number = "" if count is None else f"{count:,} "
    share, num_different = measured.get("prompts_seen_share"), measured.get("prompts_different")
    if measured.get("prompts_held_out"):
        return f"{number}prompts, none of them in training"
    if share is not None and share < FRESH:
        return f"{number}fresh prompts"
    if num_different is not None:
        draws = f"{number}draws from the task's {num_different:,} prompts"
        return draws if share is None else f"{draws}, {_share(share, num_different)} of which training has seen"
    return f"{number}prompts" if share is None else f"{number}prompts, {_share(share, None)} of which training has seen"


def _share(share: float, num_different: int | None) -> str:
    """A share in words; `all` only if the expected number of unseen prompts is below MISSED."""
    if num_different is not None and num_different * (1 - share) < MISSED:
        return "all"
    return f"about {100 * share:.0f} %" if share < 0.99 else "nearly all"
