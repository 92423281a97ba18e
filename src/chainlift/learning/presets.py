"""The table of algorithms: what each row of the objective (objective.py) is made of, without PyTorch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chainlift.settings import Settings, suggest

AdvantageKind = Literal["none", "batch_mean", "leave_one_out", "group_mean", "group_zscore", "accept"]
RatioKind = Literal["none", "token", "sequence", "sequence_mean"]
ClipKind = Literal["none", "ppo", "truncate"]
Aggregate = Literal["sequence_sum", "sequence_mean", "token_mean", "max_length"]


class Objective(Settings):
    """A row of the table; objective.py has the formulas."""

    advantage: AdvantageKind
    """What rewards are compared with."""
    ratio: RatioKind = "token"
    """What the policy is compared with its older self by."""
    clip: ClipKind = "ppo"
    """How large ratios are cut."""
    clip_low: float = Field(default=0.2, ge=0)
    """Lower clip distance (ppo)."""
    clip_high: float = Field(default=0.2, ge=0)
    """Upper clip distance (ppo), or the bound itself (truncate)."""
    aggregate: Aggregate
    """How tokens and sequences are weighted."""


PRESETS: dict[str, Objective] = {
    "star": Objective(advantage="accept", ratio="none", clip="none", aggregate="token_mean"),
    "reinforce": Objective(advantage="batch_mean", ratio="none", clip="none", aggregate="sequence_sum"),
    "rloo": Objective(advantage="leave_one_out", ratio="sequence", aggregate="sequence_mean"),
    "grpo": Objective(advantage="group_zscore", aggregate="sequence_mean"),
    "dr_grpo": Objective(advantage="group_mean", aggregate="max_length"),
    "dapo": Objective(advantage="group_zscore", clip_high=0.28, aggregate="token_mean"),
    "gspo": Objective(
        advantage="group_zscore",
        ratio="sequence_mean",
        clip_low=3e-4,
        clip_high=4e-4,
        aggregate="sequence_mean",
    ),
    "cispo": Objective(advantage="group_zscore", clip="truncate", clip_high=5.0, aggregate="token_mean"),
}


def preset(name: str) -> Objective:
    """The row of the table; ValueError in one line for a name that is none."""
    if name not in PRESETS:
        raise ValueError(f"{name!r} is no algorithm{suggest(name, PRESETS)}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
