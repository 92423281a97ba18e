"""Autoregressive linear model: one linear predictor per output position, over frozen features.

For running sums modulo K of d digits x, with phi(x) the digits as features and f(y) a token as a feature: +1 and -1
for K = 2, one-hot for K > 2 (EOS: zero). Output position l sees the whole prompt and, of the response, y_{l-1} only:

    position      predicts             features                                            weights (rows, features)
    1             y_1                  phi(x)                                              first   (O, d F)
    2, decision   go on or stop        1, phi(x), f(y_1); at degree 2 f(y_1) phi(x) too    stop    (1 + F, d F + 1)
    2 .. d        y_l, having gone on  f(y_{l-1}) phi(x), all products                     steps   ((d - 1) F O, d F)
    d + 1         EOS                  none: it is certain                                 none

F = O = 1 for K = 2, where one score z stands for the two logits +z/2 and -z/2; F = O = K otherwise. The stop decision
has no products x_i x_j among its features: they would reveal the parity of two bits; the mixture needs none.

Logits over the vocabulary: with values v and the log-odds u of going on, a token k has u + log_softmax(v)_k and EOS
has 0, so that the cross-entropy is the logistic loss of the decision plus that of the value. At a position without a
decision, impossible tokens have the logit CLOSED.

All scores are linear in phi(x). One matrix product gives a prefix's scores at all positions; only they are cached.
Source: the simplified setting of arXiv 2510.11495, after Malach, arXiv 2309.06979; one-hot products for K > 2: ours.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from chainlift.models.model import Learner, Model
from chainlift.models.protocol import Cache
from chainlift.settings import Settings
from chainlift.tasks.base import Task
from chainlift.tasks.running_sum import RunningSum

# Finite, because 0 * log 0 must be 0 in an entropy; small enough to exclude the token at any sensible temperature.
CLOSED = -100.0


class LinearSettings(Settings):
    """Settings of the autoregressive linear model; its size follows from the task."""

    family: Literal["linear"]
    """A series of linear predictors over frozen features."""
    stop_degree: int = Field(default=2, ge=1, le=2)
    """Degree of the features of the stop decision: 2 has the products of y_1 with the digits, 1 does not."""


class LinearModel(Model):
    """A linear model of sums of (context - 1) / 2 digits modulo vocabulary_size - 1; initial weights are zero."""

    Settings = LinearSettings
    is_markov = True
    settings: LinearSettings

    def __init__(self, settings: LinearSettings, vocabulary_size: int, context: int) -> None:
        super().__init__(settings, vocabulary_size, context)
        self.digits, self.modulus = (context - 1) // 2, vocabulary_size - 1
        self.size = 1 if self.modulus == 2 else self.modulus  # F and O of the table above
        inputs = self.digits * self.size
        self.first = nn.Parameter(torch.zeros(self.size, inputs))
        self.stop = nn.Parameter(torch.zeros(1 + self.size, inputs + 1))
        self.steps = nn.Parameter(torch.zeros((self.digits - 1) * self.size**2, inputs))
        feature_mask = torch.ones(1 + self.size, inputs + 1)
        if settings.stop_degree == 1:
            feature_mask[1:, :-1] = 0
        self.register_buffer("feature_mask", feature_mask, persistent=False)

    @classmethod
    def check(cls, settings: LinearSettings, task: Task) -> None:
        """Raise a one-line ValueError unless the task is a plain running sum, for which the model has predictors."""
        if not (isinstance(task, RunningSum) and task.options.is_plain):
            raise ValueError(
                "family linear learns the task running_sum only, with no option set: one chain token a digit, an "
                "answer of one token"
            )

    @classmethod
    def fewest_parameters(cls, settings: LinearSettings, context: int) -> int:
        """The number of weights of the first token's predictor."""
        return (context - 1) // 2

    @classmethod
    def theory(cls, settings: LinearSettings) -> Learner:
        """The blind learner if the stop decision has features of degree 2."""
        return "blind" if settings.stop_degree == 2 else "blind_to_the_stop"

    def muon_parameters(self) -> dict[str, nn.Parameter]:
        """No parameters: each row of the matrices is a separate predictor."""
        return {}

    def initialize(self, generator: torch.Generator) -> Self:
        """Set all weights to zero, and return self; the losses are convex, so there is no symmetry to break."""
        del generator
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
        return self

    def features(self, tokens: Tensor) -> Tensor:
        """Features (..., F) of tokens (...): 1 - 2x for bits, else one-hot; zero for EOS."""
        one_hot = F.one_hot(tokens, self.vocabulary_size)[..., : self.modulus].to(self.first.dtype)
        return one_hot[..., :1] - one_hot[..., 1:] if self.modulus == 2 else one_hot

    def prefill(self, prefix: Tensor) -> Cache:
        """Cache of one pair: scores (P, O + 1 + F) of first token and decision, and (P, (d - 1) F O) of the steps.

        The prefix (P, d - 1) is the prompt without its last digit, whose share of the scores is added later.
        """
        assert prefix.shape[1] == self.digits - 1, "the linear model reads prompts of one length"
        phi = self.features(prefix).flatten(1)
        width = phi.shape[1]
        return Cache([(phi @ self._opening_weights()[:, :width].T, phi @ self.steps[:, :width].T)])

    def logits(self, cache: Cache, suffix: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) for suffix tokens (B, S), S <= d + 1; row b continues prefix rows[b] (default: prefix b)."""
        rows = torch.arange(len(suffix), device=suffix.device) if rows is None else rows
        num_steps = min(suffix.shape[1], self.digits) - 1
        last, previous = self.features(suffix[:, 0]), self.features(suffix[:, 1:])
        first, decision = self.opening_scores(cache, rows, last)
        parts = [self.value_logits(first)]
        if num_steps:
            scores = self.step_scores(cache, rows, last, 0, num_steps)
            values = torch.einsum("bsf,bsfo->bso", previous[:, :num_steps], scores)
            go_on = decision[:, 0] + (decision[:, 1:] * previous[:, 0]).sum(dim=1)
            parts += [self.decision_logits(values[:, :1], go_on), self.value_logits(values[:, 1:])]
        if suffix.shape[1] > self.digits:
            parts.append(self.end_logits(suffix[:, self.digits :]))
        return torch.cat([part if part.dim() == 3 else part[:, None] for part in parts], dim=1)

    def read(self, sequences: Tensor, start: int) -> Tensor:
        """Logits (B, S - d + 1, V) of whole sequences (B, S); `start` must be the prompt's last digit."""
        return self.logits(self.prefill(sequences[:, :start]), sequences[:, start:])

    def decoder(self, cache: Cache, capacity: int) -> LinearDecoder:
        """A decoder with one row per prefix; it needs no memory for `capacity`."""
        del capacity
        return LinearDecoder(self, cache)

    def opening_scores(self, cache: Cache, rows: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (first (B, O), decision (B, 1 + F)) of the prefixes `rows` with features (B, F) of their last digit.

        Column 0 of the decision is its constant term; column 1 + i is multiplied by feature i of y_1.
        """
        weights = self._opening_weights()
        start = (self.digits - 1) * self.size
        scores = cache.layers[0][0][rows] + last @ weights[:, start:-1].T + weights[:, -1]
        return scores[:, : self.size], scores[:, self.size :]

    def step_scores(self, cache: Cache, rows: Tensor, last: Tensor, start: int, stop: int) -> Tensor:
        """Scores (B, stop - start, F, O) of y_{start + 2} .. y_{stop + 1}, per feature of the previous token."""
        columns = slice(start * self.size**2, stop * self.size**2)
        scores = cache.layers[0][1][:, columns][rows] + last @ self.steps[columns, (self.digits - 1) * self.size :].T
        return scores.view(len(rows), stop - start, self.size, self.size)

    def value_logits(self, scores: Tensor) -> Tensor:
        """Logits (..., V) at positions where a digit is certain, from scores (..., O)."""
        return F.pad(self._log_values(scores), (0, 1), value=CLOSED)

    def decision_logits(self, scores: Tensor, go_on: Tensor) -> Tensor:
        """Logits (B, 1, V) of the second token, from its scores (B, 1, O) and the log-odds (B,) of going on."""
        return F.pad(self._log_values(scores) + go_on[:, None, None], (0, 1), value=0.0)

    def end_logits(self, tokens: Tensor) -> Tensor:
        """Logits (..., V) after the last step, where EOS is certain for all tokens (...)."""
        digits = torch.full((*tokens.shape, self.modulus), CLOSED, dtype=self.first.dtype, device=tokens.device)
        return F.pad(digits, (0, 1), value=0.0)

    def _log_values(self, scores: Tensor) -> Tensor:
        """Log-probabilities (..., K) of the digits from scores (..., O)."""
        if self.modulus == 2:
            return F.logsigmoid(torch.cat([scores, -scores], dim=-1))
        return scores.log_softmax(dim=-1)

    def _opening_weights(self) -> Tensor:
        """Weights (O + 1 + F, d F + 1) of first token and decision; the last column belongs to the constant 1."""
        return torch.cat([F.pad(self.first, (0, 1)), self.stop * self.get_buffer("feature_mask")])


class LinearDecoder:
    """Decoder of the linear model, one token per step; it never copies the prefixes' scores."""

    def __init__(self, model: LinearModel, cache: Cache) -> None:
        self.model, self.cache = model, cache
        prefixes = cache.layers[0][0]
        self.rows = torch.arange(len(prefixes), device=prefixes.device)
        self.last = prefixes.new_empty(0)
        self.length = 0

    def step(self, tokens: Tensor) -> Tensor:
        """Append tokens (B,) to the rows, and return logits (B, V) of the next token."""
        model, position = self.model, self.length
        self.length += 1
        features = model.features(tokens)
        if position == 0:
            self.last = features
            return model.value_logits(model.opening_scores(self.cache, self.rows, features)[0])
        if position >= model.digits:
            return model.end_logits(tokens)
        scores = model.step_scores(self.cache, self.rows, self.last, position - 1, position)
        values = torch.einsum("bf,bsfo->bso", features, scores)
        if position > 1:
            return model.value_logits(values)[:, 0]
        _, decision = model.opening_scores(self.cache, self.rows, self.last)
        go_on = decision[:, 0] + (decision[:, 1:] * features).sum(dim=1)
        return model.decision_logits(values, go_on)[:, 0]

    def spread(self, group_size: int) -> None:
        """Repeat each row `group_size` times, side by side."""
        self.keep(torch.arange(len(self.rows), device=self.rows.device).repeat_interleave(group_size))

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows (B',) of the batch."""
        self.rows = self.rows[rows]
        if self.length:
            self.last = self.last[rows]
