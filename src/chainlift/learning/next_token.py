"""The loss of next-token prediction: cross-entropy of the output tokens, none on the prompt.

token_mean:     L = sum over all output tokens of -log p / number of output tokens  (the usual causal-LM mean)
sequence_mean:  L = mean over sequences of (mean over its output tokens of -log p)
sequence_sum:   L = mean over sequences of (sum over its output tokens of -log p)

With few long demonstrations the token mean gives them most of the weight (89 % at d = 50 and p_cot = .25), the sequence
mean gives almost none to each chain token, so chains are learned far more slowly. Where both forms share a context
(the decision to go on after the first token) the sequence mean also counts a long demonstration for less than its
share, so its minimizer is that of a smaller p_cot (theory/closed_forms.py). The sequence sum is the log-likelihood of a
demonstration: it has the token mean's minimizer, and its learning rate means the same at every length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from chainlift.models.protocol import SequenceModel
from chainlift.tasks.base import Demonstrations
from chainlift.tasks.mixture import MixtureBatch

MOST_PADDING = 1 / 16  # of a piece; a row that would add more begins the next one
LEAST_TOKENS = 1024  # of a piece that ends for that reason, as every piece has a cost of its own

LossWeighting = Literal["token_mean", "sequence_mean", "sequence_sum"]


@dataclass(frozen=True)
class Piece:
    """B demonstrations of one form, with the weight of each output token in the loss."""

    sequences: Tensor
    """(B, T + R - 1) prompts and responses, without the last token."""
    start: int
    """T - 1: the position of the prompt's last token, the first with a loss."""
    responses: Tensor
    """(B, R)."""
    mask: Tensor
    """(B, R) bool: True up to the end of sequence."""
    weights: Tensor
    """(B, R), summing over all pieces of a batch to 1, or for sequence_sum to the mean number of tokens."""
    long: bool
    """Whether the demonstrations have chains."""


def loss(
    model: SequenceModel, batch: MixtureBatch, weighting: LossWeighting, whole: MixtureBatch | None = None
) -> tuple[Tensor, dict[str, float | None]]:
    """(loss in nats, {loss, loss_short, loss_long}); the last two are token means by form, None if a form is absent.

    whole: the batch that `batch` is a share of. Means run over it, so that losses and gradients of all shares sum to
    those of the whole; a share without rows has a loss of 0 without a gradient.
    """
    device = next(model.parameters()).device
    whole = batch if whole is None else whole
    parts = pieces(batch, weighting, whole, device, model.tokens_per_pass)
    losses = [(piece, _negative_logp(model, piece)) for piece in parts]
    total = sum(((piece.weights * value).sum() for piece, value in losses), start=torch.zeros((), device=device))
    return total, _metrics([(piece, value.detach()) for piece, value in losses], whole)


def accumulate_gradient(
    model: SequenceModel,
    batch: MixtureBatch,
    weighting: LossWeighting,
    whole: MixtureBatch | None = None,
    *,
    coefficient: float = 1.0,
) -> dict[str, float | None]:
    """Add the gradient of `coefficient` times `loss` to the parameters' `.grad`; returns {loss, loss_short, loss_long}.

    Backward passes run piece by piece, so that memory does not grow with the batch.
    """
    losses = []
    whole = batch if whole is None else whole
    device = next(model.parameters()).device
    for piece in pieces(batch, weighting, whole, device, model.tokens_per_pass):
        value = _negative_logp(model, piece)
        (coefficient * (piece.weights * value).sum()).backward()
        losses.append((piece, value.detach()))
    return _metrics(losses, whole)


def pieces(
    batch: MixtureBatch, weighting: LossWeighting, whole: MixtureBatch, device: torch.device, max_tokens: int
) -> Iterator[Piece]:
    """Split a batch, a share of the `whole` one, into pieces of one form with about `max_tokens` tokens at most.

    Where models mask the padding of prompts, rows of similar length share a piece without columns of padding only.
    """
    num_rows = sum(len(part.prompts) for part in whole.parts)
    num_tokens = sum(int(part.mask.sum()) for part in whole.parts)
    for part in batch.parts:
        sequences = torch.cat([part.prompts, part.responses[:, :-1]], dim=1)
        denominators: dict[str, int | Tensor] = {
            "token_mean": num_tokens,
            "sequence_sum": num_rows,
            "sequence_mean": part.mask.sum(dim=1, keepdim=True) * num_rows,
        }
        weights = part.mask / denominators[weighting]
        for rows, prompt_width, width in _rows_of_pieces(part, max_tokens):
            first = part.prompts.shape[1] - prompt_width
            inputs = sequences[rows, first : part.prompts.shape[1] + width - 1].to(device)
            outputs = (t[rows, :width].to(device) for t in (part.responses, part.mask, weights))
            yield Piece(inputs, prompt_width - 1, *outputs, long=part is batch.long)


def _rows_of_pieces(part: Demonstrations, max_tokens: int) -> Iterator[tuple[Tensor, int, int]]:
    """(rows, their prompts' width, their responses' width) of each piece."""
    num_rows, width, response_width = len(part.prompts), part.prompts.shape[1], part.responses.shape[1]
    if part.prompt_lengths is None:
        num_pieces = math.ceil(num_rows * (width + response_width - 1) / max_tokens)
        for rows in torch.arange(num_rows).tensor_split(min(num_pieces, num_rows)):
            yield rows, width, response_width
        return
    response_lengths = part.mask.sum(dim=1)
    order = (part.prompt_lengths + response_lengths).argsort(stable=True)
    lengths = torch.stack([part.prompt_lengths, response_lengths], dim=1)[order].tolist()
    start, widths, num_real = 0, lengths[0], 0
    for row, length in enumerate(lengths):
        wider, num_with_row = [max(pair) for pair in zip(widths, length, strict=True)], num_real + sum(length) - 1
        size = (row - start + 1) * (sum(wider) - 1)
        is_padded = num_real >= LEAST_TOKENS and size - num_with_row > MOST_PADDING * size
        if row > start and (size > max_tokens or is_padded):
            yield order[start:row], widths[0], widths[1]
            start, wider, num_with_row = row, length, sum(length) - 1
        widths, num_real = wider, num_with_row
    yield order[start:], widths[0], widths[1]


def _negative_logp(model: SequenceModel, piece: Piece) -> Tensor:
    """Negative log-probabilities (B, R) in nats of a piece's output tokens."""
    return -model.read_logp(piece.sequences, piece.start, piece.responses, piece.mask)


def _metrics(losses: list[tuple[Piece, Tensor]], whole: MixtureBatch) -> dict[str, float | None]:
    """{loss, loss_short, loss_long} from the token losses (B, R) of pieces, averaged over the whole batch."""

    def of_form(long: bool, count: int) -> float | None:
        total = sum(float((piece.mask * value).sum()) for piece, value in losses if piece.long == long)
        return total / count if count else None

    return {
        "loss": sum(float((piece.weights * value).sum()) for piece, value in losses),
        "loss_short": of_form(False, int(whole.short.mask.sum())),
        "loss_long": of_form(True, int(whole.long.mask.sum())),
    }
