"""PPO: RL with a learned value of every token's state as the baseline, instead of other samples of the prompt.

s_t is the prompt and the tokens before token t; the reward comes with the last token, and V is 0 after it:

    A_t  = delta_t + gamma lambda A_t+1,  delta_t = r_t + gamma V(s_t+1) - V(s_t)        GAE, Schulman et al. 1506.02438
    loss = policy loss + sum_it w_i m_it (c_v (V(s_it) - A_it - V_old(s_it))^2 / 2 - c_e H(next token | s_it))

The policy loss, w_i and m_it are those of learning/objective.py with every token as a sequence (Schulman et al.
1707.06347). V is linear in the output of the model's module `last_states`, or else in the probabilities of the next
token.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from chainlift import distributed
from chainlift.learning import objective as objectives
from chainlift.learning import parallel
from chainlift.learning.draws import logp_and_entropy
from chainlift.learning.likelihood import length_buckets
from chainlift.learning.optimizer import Optimizer
from chainlift.learning.policy_update import PolicyBatch
from chainlift.learning.presets import Objective
from chainlift.learning.rollout import Rollout
from chainlift.models.model import Model
from chainlift.stages.kinds.rl import Learner, ReinforcementLearning

ROW = Objective(advantage="none", aggregate="token_mean", steps_per_round=2)


class ProximalPolicyOptimization(ReinforcementLearning):
    """Kind rl with learned values instead of groups."""

    FIXED: ClassVar = frozenset({"algorithm", "advantage", "ratio", "kl", "decision_weight"})

    kind: str = "ppo"
    algorithm: str = "ppo"
    group_size: int = Field(default=1, ge=1)
    gamma: float = Field(default=1.0, ge=0, le=1)
    """Discount per token."""
    gae_lambda: float = Field(default=1.0, ge=0, le=1)
    """1: advantages are the reward minus the value; 0: differences of neighboring values."""
    value_lr: float = Field(default=1e-2, gt=0)
    """Peak learning rate of the value head, by AdamW on the model's schedule."""
    value_coefficient: float = Field(default=0.5, ge=0)
    """Weight of the value loss, whose gradient reaches the model too."""
    entropy_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus."""

    @property
    def objective(self) -> Objective:
        """Clipped ratios of single tokens, with overrides by the settings."""
        return ROW.model_copy(update=self.model_dump(include=set(Objective.model_fields), exclude_none=True))

    def learner(self, model: Model) -> Learner:
        """The model with a value head."""
        return ActorCritic(self, model)


class ActorCritic(Learner):
    """A model with a value head that is initialized to zero."""

    def __init__(self, settings: ProximalPolicyOptimization, model: Model) -> None:
        super().__init__(settings, model)
        self.ppo = settings
        self.hooked = model.last_states
        width = model.vocabulary_size if self.hooked is None else len(next(self.hooked.parameters()))
        self.head = nn.Linear(width, 1, device=next(model.parameters()).device)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.advantages = self.returns = torch.zeros(0)

    def optimizer(self) -> Optimizer:
        """The model's optimizer and AdamW for the head, whose group has its names in checkpoints."""
        group = {"params": [*self.head.parameters()], "names": ["value_weight", "value_bias"]}
        return Optimizer(*super().optimizer().parts, torch.optim.AdamW([group], lr=self.ppo.value_lr, weight_decay=0.0))

    def read(self, rollout: Rollout, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logp, entropies, values), each (B, W), of the states in which the tokens of rows (B,) were sampled.

        Without an entropy bonus, entropies are zero and the probabilities of other tokens are not needed.
        """
        width = int(rollout.num_actions[rows].max())
        sequences = torch.cat([rollout.row_prompts[rows], rollout.responses[rows, : width - 1]], dim=1)
        seen: list[Tensor] = []

        def see(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.append(output)

        hook = self.hooked and self.hooked.register_forward_hook(see)
        start, place = rollout.prompts.shape[1] - 1, (rows, slice(width))
        tokens, mask = rollout.responses[place], rollout.mask[place]
        if self.hooked and not self.ppo.entropy_coefficient:
            logp = self.model.read_logp(sequences, start, tokens, mask, self.ppo.temperature)
            entropy, logits = torch.zeros_like(logp), None
        else:
            logits = self.model.read(sequences, start).float()
            logp, entropy = logp_and_entropy((logits / self.ppo.temperature).log_softmax(dim=-1), tokens)
        if hook is not None:
            hook.remove()
        if logits is not None and not seen:
            return logp, entropy, self.value(logits.softmax(dim=-1))
        states = torch.cat([part.flatten(0, 1) for part in seen])
        if len(states) == int(mask.sum()):  # read without padding (models/transformer/packing.py)
            return logp, entropy, torch.zeros_like(logp).masked_scatter(mask, self.value(states))
        return logp, entropy, self.value(states.unflatten(0, (len(rows), -1))[:, -width:])

    def value(self, features: Tensor) -> Tensor:
        """Values (...) in float32 from features (..., D)."""
        return self.head(features.to(self.head.weight.dtype))[..., 0].float()

    @torch.no_grad()
    def prepare_round(self, rollout: Rollout, rewards: Tensor) -> dict[str, float]:
        """Compute advantages and returns (N, R) with the values before the round's updates; returns their metrics."""
        values = torch.zeros_like(rollout.logp)
        for rows in length_buckets(rollout.num_actions + rollout.prompts.shape[1], self.model.tokens_per_pass):
            bucket_values = self.read(rollout, rows)[2]
            values[rows, : bucket_values.shape[1]] = bucket_values
        self.advantages = token_advantages(rewards, values, rollout.mask, self.ppo.gamma, self.ppo.gae_lambda)
        self.returns = self.advantages + values
        sizes = self.advantages[rollout.mask].abs()
        sums = [float((sizes > 0).sum()), float(sizes.sum()), float(len(sizes))]
        num_kept, total_size, num_tokens = map(sum, zip(*distributed.all_gather_numbers(sums), strict=True))
        return {"kept_share": num_kept / num_tokens, "advantage_abs_mean": total_size / num_tokens}

    def accumulate_gradient(self, batch: PolicyBatch) -> dict[str, float | None]:
        """Add the gradient to model and head; returns {loss, value_loss, clip_fraction, scored, tokens}."""
        rollout, selected = batch.rollout, (batch.weights != 0).nonzero()[:, 0]
        totals = torch.zeros(4)
        for bucket in length_buckets(
            rollout.num_actions[selected] + rollout.prompts.shape[1], self.model.tokens_per_pass
        ):
            logp, entropies, values = self.read(rollout, rows := selected[bucket])
            place = (rows, slice(values.shape[1]))
            mask = rollout.mask[place]
            weights = batch.weights[rows, None].expand_as(mask)[mask]
            logp = logp[mask][:, None]
            old, advantages = rollout.logp[place][mask][:, None], self.advantages[place][mask]
            policy, clipped = objectives.loss(logp, old, advantages, mask[mask][:, None], weights, self.ppo.objective)
            value = (weights * (values[mask] - self.returns[place][mask]) ** 2).sum() / 2
            entropy = (weights * entropies[mask]).sum()
            loss = policy + self.ppo.value_coefficient * value - self.ppo.entropy_coefficient * entropy
            loss.backward()
            totals += torch.stack([loss.detach(), value.detach(), clipped, mask.sum()]).cpu()
        parallel.sum_gradients(self.head)
        nn.utils.clip_grad_norm_(self.head.parameters(), self.ppo.max_grad_norm)
        loss, value, clipped, scored = totals.tolist()
        metrics = {"loss": loss, "value_loss": value, "clip_fraction": clipped / max(scored, 1.0), "scored": scored}
        return {**metrics, "tokens": scored + rollout.num_prompt_tokens(rollout.rows[selected])}


def token_advantages(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, gae_lambda: float) -> Tensor:
    """GAE advantages (N, R), 0 on padding, from rewards (N,), values (N, R) of the states and mask (N, R) bool."""
    goes_on = F.pad(mask[:, 1:], (0, 1))
    later = torch.where(goes_on, gamma * F.pad(values[:, 1:], (0, 1)), rewards[:, None])
    advantages = [torch.zeros_like(rewards)]  # from the last token to the first
    for delta in reversed(((later - values) * mask).unbind(dim=1)):
        advantages.append(delta + gamma * gae_lambda * advantages[-1])
    return torch.stack(advantages[:0:-1], dim=1)
