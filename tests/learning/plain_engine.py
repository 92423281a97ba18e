"""The engine without a saving, written to be read: what sampling, the policy update and next-token prediction compute.

Each row reads its own prompt, whole and padded, in one pass; no draft, no row that leaves, nothing computed once for
several rows. Tests compare the engine with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.learning import objective
from chainlift.learning.next_token import LossWeighting
from chainlift.learning.policy_update import PolicyBatch
from chainlift.learning.presets import Objective
from chainlift.learning.rollout import Rollout
from chainlift.models.protocol import SequenceModel, split_prompts
from chainlift.tasks.mixture import MixtureBatch


@torch.no_grad()
def sample(
    model: SequenceModel,
    prompts: Tensor,
    *,
    eos: int,
    max_tokens: int,
    group_size: int = 1,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Rollout:
    """Responses as `rollout.sample` draws them, from the same uniform numbers; every token reads its row anew."""
    rows = torch.arange(len(prompts)).repeat_interleave(group_size)
    prefix, suffix = split_prompts(prompts[rows])
    uniform = None if generator is None else torch.rand(len(rows), max_tokens, generator=generator)
    running, num_actions = torch.ones(len(rows), dtype=torch.bool), torch.zeros(len(rows), dtype=torch.long)
    responses, chosen_logp, entropies = [], [], []
    for t in range(max_tokens):
        log_probs = (model.logits(model.prefill(prefix), suffix)[:, -1].float() / temperature).log_softmax(dim=-1)
        tokens = log_probs.argmax(dim=-1)
        if uniform is not None:  # the first token whose cumulative probability exceeds the uniform number
            exceeds = log_probs.exp().cumsum(dim=-1) > uniform[:, t, None]
            tokens = torch.where(exceeds.any(dim=-1), exceeds.long().argmax(dim=-1), log_probs.shape[-1] - 1)
        tokens = torch.where(running, tokens, eos)
        responses.append(tokens)
        chosen_logp.append(log_probs.gather(1, tokens[:, None])[:, 0] * running)
        entropies.append(-(log_probs.exp() * log_probs).sum(dim=-1)[running])
        num_actions += running
        running = running & (tokens != eos)
        suffix = torch.cat([suffix, tokens[:, None]], dim=1)
    longest = int(num_actions.max())
    return Rollout(
        prompts=prompts,
        rows=rows,
        responses=torch.stack(responses, dim=1)[:, :longest],
        logp=torch.stack(chosen_logp, dim=1)[:, :longest],
        num_actions=num_actions,
        entropy=torch.cat(entropies).mean(),
    )


def response_logp(model: SequenceModel, rollout: Rollout, temperature: float) -> Tensor:
    """Log-probability (N, R) of each token of the rollout's responses, each row read with a prompt of its own."""
    prefix, last = split_prompts(rollout.row_prompts)
    suffix = torch.cat([last, rollout.responses[:, :-1]], dim=1)
    log_probs = (model.logits(model.prefill(prefix), suffix) / temperature).log_softmax(dim=-1)
    return log_probs.gather(2, rollout.responses[:, :, None])[:, :, 0]


def policy_loss(
    model: SequenceModel, batch: PolicyBatch, chosen: Objective, *, temperature: float, kl: float = 0.0
) -> Tensor:
    """The loss of an RL update over all rows; on policy a pass of its own computes the old log-probabilities."""
    rollout = batch.rollout
    old = rollout.logp
    if batch.on_policy:
        with torch.no_grad():
            old = response_logp(model, rollout, temperature)
    logp = response_logp(model, rollout, temperature)
    weights = batch.weights
    if batch.decision_weights is not None:
        row = [batch.decision_weights if t < 2 else batch.weights for t in range(logp.shape[1])]
        weights = torch.stack(row, dim=1)
    loss, _ = objective.loss(logp, old, batch.advantages, rollout.mask, weights, chosen)
    if batch.start_logp is not None:
        loss = loss + kl * objective.kl_to_start(logp, old, batch.start_logp, rollout.mask, batch.weights)
    return loss


def next_token_loss(model: SequenceModel, batch: MixtureBatch, weighting: LossWeighting, eos: int) -> Tensor:
    """The loss of next-token prediction: each demonstration read alone and whole, from its first token on."""
    sums, counts = [], []
    for part in batch.parts:
        for prompt, response in zip(part.prompts, part.responses, strict=True):
            sequence = torch.cat([prompt, response])[None]
            log_p = model.logits(model.prefill(sequence[:, :0]), sequence[:, :-1]).log_softmax(dim=-1)
            targets = sequence[0, len(prompt) :]
            count = int((response == eos).nonzero()[0]) + 1  # up to the first EOS, the last token
            sums.append(-log_p[0, len(prompt) - 1 :].gather(1, targets[:, None])[:count].sum())
            counts.append(count)
    if weighting == "token_mean":
        return torch.stack(sums).sum() / sum(counts)
    if weighting == "sequence_sum":
        return torch.stack(sums).mean()
    return torch.stack([total / count for total, count in zip(sums, counts, strict=True)]).mean()
