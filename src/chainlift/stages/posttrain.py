"""Stage 2: rollout, reward, advantage, updates, evaluate, record.

A round draws P prompts with G samples each and makes one or more updates from them. Every algorithm runs through this
one loop; what differs stands in learning/objective.py. Lengths, rewards and shares of a round are those of its
samples, so they describe the policy before the round's updates.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from chainlift.learning import parallel, sharding
from chainlift.learning.likelihood import log_probs
from chainlift.learning.objective import sequence_weights
from chainlift.learning.optimizer import apply_gradients, make_optimizer
from chainlift.learning.policy_update import PolicyBatch, PosttrainSettings, accumulate_gradient
from chainlift.learning.rollout import Rollout
from chainlift.measure.evaluate import Answers
from chainlift.models.model import Model
from chainlift.models.protocol import split_prompts
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream
from chainlift.stages.collect import collect, describe
from chainlift.stages.context import Context
from chainlift.stages.failures import Interrupted
from chainlift.stages.preflight import preflight

SHOW_EVERY = 5  # rounds between two sets of responses kept in rollouts.jsonl


def posttrain(context: Context, settings: PosttrainSettings, *, start: Path) -> tuple[Model, TrainerState]:
    """The model and final state after `settings.updates` updates that begin at the checkpoint `start`."""
    recipe = context.recipe
    model = context.new_model()
    checkpoint.restore(start, model, None)
    start_model = _start_model(context, settings, start)
    optimizer = make_optimizer(model, settings)
    state = context.begin("posttrain", model, optimizer, start)
    if state.finished:
        return model, state

    since = time.monotonic()
    with context.reporter.stage("posttrain", state.step, settings.updates):
        if state.step == 0:
            preflight(context, state, model, settings)
        while state.step < settings.updates:
            if state.round % recipe.evaluate.posttrain_every == 0:
                context.evaluate(state, model, final=False, show=state.round == 0)

            with sharding.whole(model), context.precision():
                batch_of_round = collect(context, settings, model, state.round)
            answers, gains = batch_of_round.kept, batch_of_round.advantages
            told = describe(batch_of_round)
            if state.round % SHOW_EVERY == 0:
                rewards = batch_of_round.rewards.flatten()
                context.record_responses(state, "rollout", "sampled", answers, rewards=rewards, advantages=gains)
            state.round += 1
            state.sequences += len(batch_of_round.drawn.rollout.rows)
            state.tokens += batch_of_round.num_tokens

            if settings.restart:
                assert start_model is not None
                model.load_state_dict(start_model.state_dict())
                optimizer = make_optimizer(model, settings)
            own, own_rows = parallel.own_groups(answers.rollout)
            start_logp = None
            if settings.kl:
                assert start_model is not None
                with sharding.whole(start_model), context.precision():
                    start_logp = _start_logp(start_model, own, settings.temperature)
            for update in range(min(settings.updates_a_round, settings.updates - state.step)):
                rows = _minibatch(context, settings, state.round, update, len(gains))
                weights, kl_weights = _weights(context, answers, gains, rows, settings)
                batch = PolicyBatch(
                    own,
                    gains[own_rows],
                    weights[own_rows],
                    on_policy=update == 0 and not settings.restart,
                    start_logp=start_logp,
                    kl_weights=kl_weights[own_rows],
                )
                with sharding.whole(model):
                    with context.precision():
                        metrics = accumulate_gradient(
                            model, batch, settings.objective, temperature=settings.temperature, kl=settings.kl
                        )
                    parallel.sum_gradients(model)
                metrics = parallel.whole_metrics(metrics)
                metrics.pop("scored")
                state.tokens += int(metrics.pop("tokens") or 0)
                moved = apply_gradients(model, optimizer, settings, state.step, settings.updates)
                state.step += 1
                row = context.record(state, "update", {"round": state.round, **told, **metrics, **moved})
                context.reporter.update(row)
            stopping = context.stopping
            if stopping or state.round % settings.checkpoint_every == 0:
                since = context.keep(state, model, optimizer, since)
            if stopping:
                raise Interrupted

        context.evaluate(state, model, final=True, show=True)
        state.finished = True
        context.keep(state, model, optimizer, since)
    return model, state


def _start_model(context: Context, settings: PosttrainSettings, start: Path) -> Model | None:
    """The model that RL begins with, where something is compared with it or begins with it again."""
    if not settings.kl and not settings.restart:
        return None
    model = context.new_model()
    checkpoint.restore(start, model, None)
    return model


def _weights(
    context: Context, answers: Answers, gains: Tensor, rows: Tensor, settings: PosttrainSettings
) -> tuple[Tensor, Tensor]:
    """Weights (N,) of the rows of one minibatch, 0 elsewhere, in the loss and in its KL term.

    STaR's loss counts accepted rows only; KL is one over all samples, whatever they earned.
    """
    counted = torch.zeros_like(gains, dtype=torch.bool)
    counted[rows] = True

    def weights(counted: Tensor) -> Tensor:
        return sequence_weights(
            answers.rollout.num_actions,
            settings.objective.aggregate,
            max_length=context.task.long_length + 1,
            counted=counted,
        )

    everyone = weights(counted)
    return (weights(counted & (gains > 0)) if settings.objective.advantage == "accept" else everyone), everyone


def _minibatch(context: Context, settings: PosttrainSettings, round_number: int, update: int, size: int) -> Tensor:
    """Row numbers of update number `update` of a round: one part of the round's shuffled samples, or all of them."""
    if settings.minibatches == 1:
        return torch.arange(size, device=context.device)
    epoch, part = divmod(update, settings.minibatches)
    order = torch.randperm(size, generator=stream(context.recipe.seed, "posttrain/shuffle", round_number, epoch))
    return order.tensor_split(settings.minibatches)[part].to(context.device)


def _start_logp(start_model: Model, rollout: Rollout, temperature: float) -> Tensor:
    """(N, R) log-probabilities of the samples under the start model."""
    if not len(rollout.rows):
        return rollout.logp
    with torch.no_grad():
        prefix, last = split_prompts(rollout.prompts)
        cache = start_model.prefill(prefix)
        return log_probs(start_model, cache, last, rollout.responses, rollout.rows, temperature=temperature)
