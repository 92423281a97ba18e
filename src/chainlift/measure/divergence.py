"""How far a policy has moved from the model that it began with, token by token."""

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
    """(KL(policy || base) in nats at each output position, how many samples reached it), both (R,).

    A position's value is the mean, over the policy's own samples to prompts (P, T) that reach it, of the divergence of
    the two distributions of the next token, EOS included. Weighted by the share that reaches it, the values add up to
    the divergence of whole responses. R is the length of a full chain with its EOS.
    """
    width = task.long_length + 1
    total, reached = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    for chunk in prompts.to(next(policy.parameters()).device).split(ROWS_AT_ONCE):
        found = sample(policy, chunk, eos=task.vocabulary.eos, max_tokens=width, generator=generator)
        prefix, last = split_prompts(found.prompts)
        suffix = torch.cat([last[found.rows], found.responses[:, :-1]], dim=1)
        logp, base_logp = (
            model.logits(model.prefill(prefix), suffix, found.rows).float().log_softmax(-1) for model in (policy, base)
        )
        kl = (logp.exp() * (logp - base_logp)).sum(dim=-1).cpu().double()  # (N, R)
        there = torch.arange(kl.shape[1]) < found.num_actions.cpu()[:, None]
        total[: kl.shape[1]] += (kl * there).sum(dim=0)
        reached[: kl.shape[1]] += there.sum(dim=0)
    return (total / reached.clamp(min=1)).numpy(), reached.numpy()
