"""The table of algorithms: settings of the policy objective (objective.py), without PyTorch.

    preset     advantage      ratio          clip      low   high  w_i            source
    star       accept         none           -         -     -     token_mean     Zelikman et al. 2022, 2203.14465
    reinforce  batch_mean     none           -         -     -     sequence_sum   Williams 1992 (plain form: none)
    rloo       leave_one_out  sequence       ppo       .2    .2    sequence_mean  Ahmadian et al. 2024, 2402.14740
    grpo       group_zscore   token          ppo       .2    .2    sequence_mean  Shao et al. 2024, 2402.03300, eq. 3
    dr_grpo    group_mean     token          ppo       .2    .2    max_length     Liu et al. 2025, 2503.20783
    dapo       group_zscore   token          ppo       .2    .28   token_mean     Yu et al. 2025, 2503.14476, eq. 8
    gspo       group_zscore   sequence_mean  ppo       3e-4  4e-4  sequence_mean  Zheng et al. 2025, 2507.18071, eq. 5
    cispo      group_zscore   token          truncate  -     5     token_mean     MiniMax 2025, 2506.13585, eq. 4
    gpg        group_mean     none           -         -     -     token_mean     Chu et al. 2025, 2504.02546

Numbers in the last column are arXiv's. An algorithm is an `Objective`, found by its registered name, by an entry
point in the group `chainlift.algorithms`, or as `package.module:name`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from chainlift.references import Trust
from chainlift.registry import Registry
from chainlift.settings import Settings

AdvantageKind = Literal["none", "batch_mean", "leave_one_out", "group_mean", "group_zscore", "accept"]
RatioKind = Literal["none", "token", "sequence", "sequence_mean"]
ClipKind = Literal["none", "ppo", "truncate"]
Aggregate = Literal["sequence_sum", "sequence_mean", "token_mean", "max_length"]


class Objective(Settings):
    """An algorithm's settings of the policy objective; objective.py has the formulas."""

    advantage: AdvantageKind
    """How advantages are made of rewards."""
    ratio: RatioKind = "token"
    """The importance ratio between the policy and the one that sampled."""
    clip: ClipKind = "ppo"
    """How large ratios are clipped."""
    clip_low: float = Field(default=0.2, ge=0)
    """Lower clip distance (ppo)."""
    clip_high: float = Field(default=0.2, ge=0)
    """Upper clip distance (ppo), or the bound itself (truncate)."""
    aggregate: Aggregate
    """How tokens and sequences are weighted."""
    decision_weight: float | None = Field(default=None, gt=0)
    """What the first two tokens of every response weigh; null: as much as its other tokens."""
    steps_per_round: int = Field(default=1, ge=1)
    """Updates from one round's samples."""

    @model_validator(mode="after")
    def _fits(self) -> Objective:
        self.check()
        return self

    def check(self) -> None:
        """Raise ValueError if tokens have no terms of their own that decision_weight could weigh."""
        if self.decision_weight is not None and self.ratio in ("sequence", "sequence_mean"):
            raise ValueError(
                f"decision_weight needs terms of single tokens, and ratio {self.ratio} has one of a whole response; "
                "set ratio to token or none"
            )


PRESETS: dict[str, Objective] = {
    "star": Objective(advantage="accept", ratio="none", clip="none", aggregate="token_mean", steps_per_round=4),
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
    # Chu et al., arXiv 2504.02546, without its factor alpha, which is one number for a whole batch.
    "gpg": Objective(advantage="group_mean", ratio="none", clip="none", aggregate="token_mean"),
}


def _accept(algorithm: Any) -> Objective:
    if not isinstance(algorithm, Objective):
        raise ValueError("a chainlift.learning.presets.Objective")
    return algorithm


ALGORITHMS: Registry[Objective] = Registry("algorithm", "chainlift.algorithms", _accept)
for _name, _row in PRESETS.items():
    ALGORITHMS.register(_name, _row, shipped=True)


def preset(name: str, trust: Trust | None = None) -> Objective:
    """The algorithm called `name`; ValueError in one line if there is none.

    trust: in the file that holds the name; None if the user gave the name.
    """
    return ALGORITHMS.find(name, trust)
