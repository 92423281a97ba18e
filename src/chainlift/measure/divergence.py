"""Divergence of a policy from the model that it began with, token by token."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from chainlift.learning.rollout import sample
from chainlift.models.protocol import SequenceModel, split_prompts
from chainlift.tasks.base import Task

ROWS_AT_ONCE = 256


@torch.no_grad()
def kl_by_position(
    policy: SequenceModel, base: SequenceModel, task: Task, prompts: Tensor, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(KL(policy || base) in nats at each output position, number of samples that reach it), both (R,).

    The value of a position is the mean divergence of the two distributions of the next token, EOS included. The mean is
    over those of the policy's samples to prompts (P, T) that reach the position. Weighted by the share of samples that
    reach them, the values add up to the divergence of whole responses. R is the length of a full chain with EOS.
    """
    width = task.long_length + 1
    total, reached = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    for chunk in prompts.to(next(policy.parameters()).device).split(ROWS_AT_ONCE):
        rollout = sample(policy, chunk, eos=task.vocabulary.eos, max_tokens=width, generator=generator)
        prefix, last = split_prompts(rollout.prompts)
        suffix = torch.cat([last[rollout.rows], rollout.responses[:, :-1]], dim=1)
        logp, base_logp = (
            model.logits(model.prefill(prefix), suffix, rollout.rows).float().log_softmax(-1)
            for model in (policy, base)
        )
        kl = (logp.exp() * (logp - base_logp)).sum(dim=-1).cpu().double()  # (N, R)
        is_action = torch.arange(kl.shape[1]) < rollout.num_actions.cpu()[:, None]
        total[: kl.shape[1]] += (kl * is_action).sum(dim=0)
        reached[: kl.shape[1]] += is_action.sum(dim=0)
    return (total / reached.clamp(min=1)).numpy(), reached.numpy()
