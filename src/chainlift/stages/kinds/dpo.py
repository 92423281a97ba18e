"""DPO: a preference loss on pairs of a right and a wrong response, from on-policy samples.

    loss = mean over prompts of the mean over pairs of -log sigmoid(h_right - h_wrong),   h = beta log(pi / start)

(Rafailov et al. 2023, arXiv 2305.18290, eq. 7.) Pairs are on-policy: every round samples groups from the current
policy, and each right response of a group makes a pair with each wrong one. The reference is the start model. beta is
the coefficient of KL(policy || start) in the problem that DPO solves, so its key is `kl`.

dloss/dh_i of a right response is minus the mean over its pairs of sigmoid(h_wrong - h_right), so the gradient is that
of a log-likelihood with these weights as advantages; learning/policy_update.py computes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from chainlift.learning.advantage import is_right
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import Objective
from chainlift.learning.rollout import Rollout
from chainlift.models.model import Model
from chainlift.stages.kinds.rl import Learner, ReinforcementLearning
from chainlift.stages.policy.minibatch import sample_logp

ROW = Objective(advantage="none", ratio="none", clip="none", aggregate="sequence_sum")


class DirectPreferenceOptimization(ReinforcementLearning):
    """Kind rl with preference pairs instead of advantages."""

    FIXED: ClassVar = frozenset(
        (
            "algorithm",
            "advantage",
            "ratio",
            "clip",
            "clip_low",
            "clip_high",
            "aggregate",
            "decision_weight",
            "minibatches",
            "length_penalty",
        )
    )

    kind: str = "dpo"
    algorithm: str = "dpo"
    kl: float = Field(default=0.1, gt=0)
    """beta: how near the policy stays to the start model."""
    group_size: int = Field(default=8, ge=2)

    @property
    def objective(self) -> Objective:
        """The log-likelihood of whole responses with equal weights."""
        return ROW.model_copy(update={"steps_per_round": self.steps_per_round or 1})

    def learner(self, model: Model) -> Learner:
        """A learner that makes pairs of samples."""
        return PairLearner(self, model)


class PairLearner(Learner):
    """A learner from pairs of right and wrong samples."""

    right: Tensor
    """(N,) bool: whether each of this process's samples of the round is right."""

    def prepare_round(self, rollout: Rollout, rewards: Tensor) -> dict[str, float]:
        """Remember which samples are right."""
        self.right = is_right(rewards)
        return {}

    def accumulate_gradient(self, batch: PolicyBatch) -> dict[str, float | None]:
        """Add the gradient; returns metrics, `loss` that of DPO, `pairs_ordered` the share of pairs in right order."""
        rollout, rl, groups = batch.rollout, self.settings, (-1, self.settings.group_size)
        assert batch.start_logp is not None
        now = sample_logp(self.model, rollout, rl.temperature)
        lead = rl.kl * ((now - batch.start_logp) * rollout.mask).sum(dim=1)
        loss, slopes, ordered = pair_losses(lead.view(groups), self.right.view(groups))
        share = batch.weights.view(groups).sum(dim=1)  # weight of each prompt in the round's mean
        # The policy loss is - sum_i w_i A_i log pi_i with equal w_i.
        advantages = -rl.kl * slopes * rl.group_size
        likelihood = replace(batch, advantages=advantages.flatten(), start_logp=None, kl_weights=None)
        metrics = accumulate_gradient(self.model, likelihood, rl.objective, temperature=rl.temperature)
        return {**metrics, "loss": float((share * loss).sum()), "pairs_ordered": float((share * ordered).sum())}


def pair_losses(lead: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(loss (P,), its slopes (P, G), share of pairs in right order (P,)) from lead h (P, G) and right (P, G) bool.

    All are means over a group's pairs, and 0 if it has none.
    """
    pairs = right[:, :, None] & ~right[:, None, :]
    weights = pairs / pairs.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    margin = lead[:, :, None] - lead[:, None, :]
    pull = weights * torch.sigmoid(-margin)
    loss = -(weights * F.logsigmoid(margin)).sum(dim=(1, 2))
    return loss, pull.sum(dim=1) - pull.sum(dim=2), (weights * (margin > 0)).sum(dim=(1, 2))
