"""Data of one RL update: rows of a round's samples, their weights, and additional demonstrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from chainlift.learning import next_token, parallel
from chainlift.learning.likelihood import log_probs
from chainlift.learning.objective import sequence_weights
from chainlift.learning.rollout import Rollout
from chainlift.measure.evaluate import Answers
from chainlift.models.model import Model
from chainlift.models.protocol import split_prompts
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream
from chainlift.tasks import mixture

if TYPE_CHECKING:
    from chainlift.stages.context import Context
    from chainlift.stages.kinds.rl import ReinforcementLearning
    from chainlift.stages.stage import Place


class RowWeights(NamedTuple):
    """Weights (N,) of the rows of one minibatch, 0 elsewhere."""

    loss: Tensor
    """In the loss."""
    kl: Tensor
    """In the KL term."""
    decisions: Tensor | None
    """Of the first two tokens, in the loss; null: as of the others."""

    def local(self, rows: Tensor | slice) -> RowWeights:
        """Those of this process's rows."""
        return RowWeights(self.loss[rows], self.kl[rows], None if self.decisions is None else self.decisions[rows])


def row_weights(
    context: Context, answers: Answers, advantages: Tensor, rows: Tensor, settings: ReinforcementLearning
) -> RowWeights:
    """Weights of the rows of one minibatch.

    STaR's loss counts accepted rows only; the KL term counts all samples.
    """
    counted = torch.zeros_like(advantages, dtype=torch.bool)
    counted[rows] = True
    objective, num_actions = settings.objective, answers.rollout.num_actions
    max_length = context.task.long_length + 1
    learned = counted & (advantages > 0) if objective.advantage == "accept" else counted
    decisions = None
    if objective.decision_weight is not None:
        each = sequence_weights(num_actions, "sequence_sum", max_length=max_length, counted=learned)
        decisions = objective.decision_weight * each
    of_all = sequence_weights(num_actions, objective.aggregate, max_length=max_length, counted=counted)
    of_learned = of_all
    if learned is not counted:
        of_learned = sequence_weights(num_actions, objective.aggregate, max_length=max_length, counted=learned)
    return RowWeights(of_learned, of_all, decisions)


def minibatch_rows(
    context: Context, settings: ReinforcementLearning, state: TrainerState, update: int, size: int
) -> Tensor:
    """Row numbers for update `update` of a round: one part of the round's shuffled samples, or all of them."""
    if settings.minibatches == 1:
        return torch.arange(size, device=context.device)
    epoch, part = divmod(update, settings.minibatches)
    order = torch.randperm(size, generator=stream(context.recipe.seed, f"{state.stage}/shuffle", state.round, epoch))
    return order.tensor_split(settings.minibatches)[part].to(context.device)


def sample_logp(model: Model, rollout: Rollout, temperature: float) -> Tensor:
    """Log-probabilities (N, R) of the samples under a model, without a gradient."""
    if not len(rollout.rows):
        return rollout.logp
    with torch.no_grad():
        prefix, last = split_prompts(rollout.prompts)
        cache = model.prefill(prefix)
        mask = rollout.mask
        return log_probs(model, cache, last, rollout.responses, rollout.rows, mask=mask, temperature=temperature)


def demonstrations_gradient(
    context: Context, settings: ReinforcementLearning, place: Place, model: Model, state: TrainerState
) -> dict[str, float | None]:
    """Add the weighted gradient of fresh demonstrations; returns {ntp_loss, ...}, or {} if the weight is 0."""
    if not settings.ntp_weight:
        return {}
    batch = mixture.draw(
        context.task,
        place.mixture,
        settings.ntp_batch_size,
        seed=context.recipe.seed,
        name=f"{place.name}/ntp",
        step=state.step,
        share=state.step / settings.steps,
    )
    local = parallel.local_demonstrations(batch)
    metrics = next_token.accumulate_gradient(model, local, "token_mean", whole=batch, coefficient=settings.ntp_weight)
    state.tokens += batch.num_tokens
    return {f"ntp_{name}": value for name, value in parallel.whole_metrics(metrics).items()}
