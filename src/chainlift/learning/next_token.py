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

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from chainlift.learning.likelihood import MAX_TOKENS, token_logp
from chainlift.models.protocol import SequenceModel
from chainlift.tasks.mixture import MixtureBatch

LossWeighting = Literal["token_mean", "sequence_mean", "sequence_sum"]


@dataclass(frozen=True)
class Piece:
    """Some demonstrations of one form, B rows, with the weight of each output token in the loss."""

    sequences: Tensor
    """(B, T + R - 1) prompts and responses, without the last token."""
    start: int
    """T - 1: where the last token of the prompt stands, the first position with a loss."""
    responses: Tensor
    """(B, R)."""
    mask: Tensor
    """(B, R) bool: True up to the end of sequence."""
    weights: Tensor
    """(B, R); they add up to 1 over all the pieces of a batch, or for sequence_sum to the mean number of tokens."""
    long: bool
    """The form."""


def loss(
    model: SequenceModel, batch: MixtureBatch, weighting: LossWeighting, whole: MixtureBatch | None = None
) -> tuple[Tensor, dict[str, float | None]]:
    """(loss in nats, {loss, loss_short, loss_long}); the two parts' own token means are None where a part is empty.

    whole: the batch that `batch` is a share of. Means run over it, so that what the shares give adds up to what it
    would give; a share without rows has a loss of 0 that no weight has a part in.
    """
    device = next(model.parameters()).device
    whole = batch if whole is None else whole
    found = [(piece, _negative_logp(model, piece)) for piece in pieces(batch, weighting, whole, device)]
    total = sum(((piece.weights * value).sum() for piece, value in found), start=torch.zeros((), device=device))
    return total, _described([(piece, value.detach()) for piece, value in found], whole)


def accumulate_gradient(
    model: SequenceModel,
    batch: MixtureBatch,
    weighting: LossWeighting,
    whole: MixtureBatch | None = None,
    *,
    coefficient: float = 1.0,
) -> dict[str, float | None]:
    """{loss, loss_short, loss_long}; the gradient of `coefficient` times `loss` is added to the parameters' `.grad`,
    piece by piece, so that memory does not grow with the batch.
    """
    found = []
    whole = batch if whole is None else whole
    for piece in pieces(batch, weighting, whole, next(model.parameters()).device):
        value = _negative_logp(model, piece)
        (coefficient * (piece.weights * value).sum()).backward()
        found.append((piece, value.detach()))
    return _described(found, whole)


def pieces(batch: MixtureBatch, weighting: LossWeighting, whole: MixtureBatch, device: torch.device) -> Iterator[Piece]:
    """The batch, a share of the `whole` one, in pieces of one form and of at most about MAX_TOKENS tokens each."""
    num_rows = sum(len(part.prompts) for part in whole.parts)
    num_tokens = sum(int(part.mask.sum()) for part in whole.parts)
    for part in batch.parts:
        sequences = torch.cat([part.prompts, part.responses[:, :-1]], dim=1)
        counted_by: dict[str, int | Tensor] = {
            "token_mean": num_tokens,
            "sequence_sum": num_rows,
            "sequence_mean": part.mask.sum(dim=1, keepdim=True) * num_rows,
        }
        weights = part.mask / counted_by[weighting]
        number = math.ceil(sequences.numel() / MAX_TOKENS)
        for rows in torch.arange(len(sequences)).tensor_split(min(number, len(sequences))):
            own = [t[rows].to(device) for t in (sequences, part.responses, part.mask, weights)]
            yield Piece(own[0], part.prompts.shape[1] - 1, *own[1:], long=part is batch.long)


def _negative_logp(model: SequenceModel, piece: Piece) -> Tensor:
    """(B, R) negative log-probabilities in nats of a piece's output tokens."""
    return -token_logp(model.read(piece.sequences, piece.start), piece.responses)


def _described(found: list[tuple[Piece, Tensor]], whole: MixtureBatch) -> dict[str, float | None]:
    """The metrics of pieces and their tokens' losses (B, R), as shares of the whole batch's."""

    def of_form(long: bool, count: int) -> float | None:
        total = sum(float((piece.mask * value).sum()) for piece, value in found if piece.long == long)
        return total / count if count else None

    return {
        "loss": sum(float((piece.weights * value).sum()) for piece, value in found),
        "loss_short": of_form(False, int(whole.short.mask.sum())),
        "loss_long": of_form(True, int(whole.long.mask.sum())),
    }
