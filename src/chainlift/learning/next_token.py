"""The loss of stage 1: cross-entropy of the output tokens, none on the prompt.

token_mean:     L = sum over all output tokens of -log p / number of output tokens  (the usual causal-LM mean)
sequence_mean:  L = mean over sequences of (mean over its output tokens of -log p)
sequence_sum:   L = mean over sequences of (sum over its output tokens of -log p)

With few long demonstrations the token mean gives them most of the weight (89 % at d = 50 and p_cot = .25), the sequence
mean almost none to each chain token, so chains are learned far more slowly. Where both forms share a context (the first
token, stop or go on) the sequence mean also counts a long demonstration for less than its share, so its minimiser is
that of a smaller p_cot (theory/closed_forms.py). The sequence sum has the token mean's minimiser, and a learning rate
that means the same at every length: it is the log-likelihood of a demonstration, position by position.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from chainlift.learning.likelihood import log_probs
from chainlift.learning.optimiser import OptimiserSettings
from chainlift.models.protocol import SequenceModel, split_prompts
from chainlift.settings import LATER, Settings
from chainlift.tasks.mixture import MixtureBatch

LossWeighting = Literal["token_mean", "sequence_mean", "sequence_sum"]


class PretrainSettings(OptimiserSettings):
    """Stage 1: next-token prediction on fresh demonstrations."""

    steps: int = Field(default=400, ge=1)
    """Number of updates."""
    batch_size: int = Field(default=256, ge=1)
    """Demonstrations an update."""
    loss_weighting: LossWeighting = "token_mean"
    """token_mean: every output token counts alike; sequence_mean: every demonstration does; sequence_sum: as
    token_mean, but over the number of demonstrations."""
    checkpoint_every: int = Field(default=25, ge=1)
    """Updates between two checkpoints from which an interrupted run goes on."""
    average_tail: float = Field(default=0.0, ge=0, le=1, json_schema_extra=LATER)
    """Share of the steps, the last ones, whose weights are averaged; the average is measured and handed on."""


class ContinuedSettings(Settings):
    """The baseline: next-token prediction goes on from stage 1's checkpoint with the same batches, schedule and peak
    rate.
    """

    token_ratio: float = Field(default=1.0, gt=0)
    """It processes at least this many times the tokens that RL sampled and trained on."""
    lr: float | None = Field(default=None, gt=0)
    """Peak learning rate; default: stage 1's."""


def loss(
    model: SequenceModel, batch: MixtureBatch, weighting: LossWeighting, whole: MixtureBatch | None = None
) -> tuple[Tensor, dict[str, float | None]]:
    """(loss in nats, {loss, loss_short, loss_long}); the two parts' own token means are None where a part is empty.

    whole: the batch that `batch` is a share of. Means run over it, so that what the shares give adds up to what it
    would give; a share without rows has a loss of 0 that no weight has a part in.
    """
    device = next(model.parameters()).device
    whole = batch if whole is None else whole
    num_tokens = {"short": whole.short.mask.sum(), "long": whole.long.mask.sum()}
    metrics = {f"loss_{name}": 0.0 if count else None for name, count in num_tokens.items()}
    if not batch.parts:
        return torch.zeros((), device=device, requires_grad=True), {"loss": 0.0, **metrics}
    prompts = torch.cat([part.prompts for part in batch.parts]).to(device)
    prefix, last = split_prompts(prompts)
    sizes = [len(part.prompts) for part in batch.parts]
    split = [(key.split(sizes), value.split(sizes)) for key, value in model.prefill(prefix)]
    losses = []
    for i, (part, part_last) in enumerate(zip(batch.parts, last.split(sizes), strict=True)):
        cache = [(keys[i], values[i]) for keys, values in split]
        losses.append(-log_probs(model, cache, part_last, part.responses.to(device)) * part.mask.to(device))
    num_sequences = sum(len(part.prompts) for part in whole.parts)
    if weighting in ("token_mean", "sequence_sum"):
        total = sum((part.sum() for part in losses), start=torch.zeros((), device=device))
        mean = total / (sum(map(int, num_tokens.values())) if weighting == "token_mean" else num_sequences)
    else:
        counts = [part.mask.sum(dim=1).to(device) for part in batch.parts]
        means = [(part.sum(dim=1) / count).sum() for part, count in zip(losses, counts, strict=True)]
        mean = sum(means, start=torch.zeros((), device=device)) / num_sequences
    for part, value in zip(batch.parts, losses, strict=True):
        name = "short" if part is batch.short else "long"
        metrics[f"loss_{name}"] = float(value.detach().sum().cpu() / num_tokens[name])
    return mean, {"loss": float(mean.detach()), **metrics}
