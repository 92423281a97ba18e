"""Stage 2: rollout, reward, advantage, updates, evaluate, record.

A round draws P prompts with G samples each and makes one or more updates from them. Every algorithm runs through this
one loop; what differs stands in learning/objective.py. Lengths, rewards and shares of a round are those of its
samples, so they describe the policy before the round's updates.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chainlift.learning import advantage as advantages
from chainlift.learning import parallel, reward, sharding
from chainlift.learning.likelihood import log_probs
from chainlift.learning.objective import sequence_weights
from chainlift.learning.optimiser import apply_gradients, make_optimiser
from chainlift.learning.policy_update import PolicyBatch, PosttrainSettings, accumulate_gradient
from chainlift.learning.rollout import Rollout, join, take_groups
from chainlift.measure.evaluate import Answers, answer
from chainlift.models.families import Model
from chainlift.models.protocol import split_prompts
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream
from chainlift.stages.context import Context
from chainlift.stages.failures import Interrupted
from chainlift.stages.preflight import preflight
from chainlift.tasks.base import Task

SHOW_EVERY = 5  # rounds between two sets of responses kept in rollouts.jsonl


def posttrain(context: Context, settings: PosttrainSettings, *, start: Path) -> tuple[Model, TrainerState]:
    """The model and final state after `settings.updates` updates that begin at the checkpoint `start`."""
    recipe = context.recipe
    model, start_model = context.new_model(), context.new_model()
    checkpoint.restore(start, start_model, None)
    model.load_state_dict(start_model.state_dict())
    optimiser = make_optimiser(model, settings)
    state = context.begin("posttrain", model, optimiser, start)
    if state.finished:
        return model, state

    since = time.monotonic()
    with context.reporter.stage("posttrain", state.step, settings.updates):
        if state.step == 0:
            preflight(context, state, model, settings)
        while state.step < settings.updates:
            if state.round % recipe.evaluate.posttrain_every == 0:
                context.evaluate(state, model, final=False, show=state.round == 0)
            if settings.restart:
                model.load_state_dict(start_model.state_dict())
                optimiser = make_optimiser(model, settings)

            with sharding.whole(model), context.precision():
                answers, rewards, drawn = collect(context, settings, model, state.round)
            gains = advantages.estimate(rewards, settings.objective.advantage).flatten()
            told = describe(answers, rewards, gains, settings)
            if state.round % SHOW_EVERY == 0:
                context.record_responses(
                    state, "rollout", "sampled", answers, rewards=rewards.flatten(), advantages=gains
                )
            state.round += 1
            state.sequences += drawn["sequences"]
            state.tokens += drawn["tokens"]

            own, own_rows = parallel.own_groups(answers.rollout)
            with sharding.whole(start_model), context.precision():
                start_logp = _start_logp(start_model, own, settings.temperature) if settings.kl else None
            for update in range(min(settings.updates_a_round, settings.updates - state.step)):
                rows = _minibatch(context, settings, state.round, update, len(gains))
                batch = PolicyBatch(
                    own,
                    gains[own_rows],
                    _weights(context, answers, gains, rows, settings)[own_rows],
                    on_policy=update == 0,
                    start_logp=start_logp,
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
                moved = apply_gradients(model, optimiser, settings, state.step, settings.updates)
                state.step += 1
                row = context.record(state, "update", {"round": state.round, **told, **metrics, **moved})
                context.reporter.update(row)
            stopping = context.stopping
            if stopping or state.round % settings.checkpoint_every == 0:
                since = context.keep(state, model, optimiser, since)
            if stopping:
                raise Interrupted

        context.evaluate(state, model, final=True, show=True)
        state.finished = True
        context.keep(state, model, optimiser, since)
    return model, state


def collect(
    context: Context, settings: PosttrainSettings, model: Model, number: int
) -> tuple[Answers, Tensor, dict[str, int]]:
    """(answers, rewards (P, G), {sequences, tokens} sampled) of round `number`.

    With dynamic sampling, groups of equal rewards give way to groups of further prompts, for at most
    `dynamic_sampling_tries` draws; what is still missing then is filled up with groups without signal.
    """
    task, seed = context.task, context.recipe.seed
    parts: list[Rollout] = []
    rewards: list[Tensor] = []
    for attempt in range(settings.dynamic_sampling_tries if settings.dynamic_sampling else 1):
        found = answer(
            model,
            task,
            task.prompts(settings.prompts, stream(seed, "posttrain/prompts", number, attempt)),
            group_size=settings.group_size,
            temperature=settings.temperature,
            generator=stream(seed, "posttrain/samples", number, attempt),
        )
        parts.append(found.rollout)
        rewards.append(_rewards(task, settings, found))
        if sum(int(_mixed(part).sum()) for part in rewards) >= settings.prompts:
            break
    drawn = {
        "sequences": sum(len(part.rows) for part in parts),
        "tokens": sum(part.num_tokens for part in parts),
    }
    joined = join(parts, task.vocabulary.eos)
    # A stable sort puts groups with signal first; without further draws it keeps every group and only the order could
    # change.
    if len(parts) > 1:
        order = (~_mixed(torch.cat(rewards))).to(torch.int8).argsort(stable=True)[: settings.prompts]
        joined = take_groups(joined, order.sort().values)
    answers = Answers(joined, task.verify(joined.row_prompts, joined.responses))
    return answers, _rewards(task, settings, answers), drawn


def describe(answers: Answers, rewards: Tensor, gains: Tensor, settings: PosttrainSettings) -> dict[str, Any]:
    """What a round's samples say about the policy, and how much signal they carry."""
    verdict = answers.verdict
    kept = (gains != 0).float().mean()
    return {
        "reward_mean": float(rewards.mean()),
        "accuracy": float(verdict.answer.float().mean()),
        "long_share": float(verdict.long.float().mean()),
        "length_mean": float(verdict.length.float().mean()),
        "unfinished_share": float(1 - verdict.finished.float().mean()),
        **advantages.signal(verdict.answer.view(-1, settings.group_size)),
        "kept_share": float(kept),
        "advantage_abs_mean": float(gains.abs().mean()),
        "entropy": float(answers.rollout.entropy),
    }


def _rewards(task: Task, settings: PosttrainSettings, answers: Answers) -> Tensor:
    """Rewards (P, G) of answers."""
    values = reward.score(
        answers.verdict, settings.reward, length_penalty=settings.length_penalty, max_length=task.long_length
    )
    return values.view(-1, settings.group_size)


def _mixed(rewards: Tensor) -> Tensor:
    """(P,) bool: the group's rewards (P, G) differ."""
    return (rewards != rewards[:, :1]).any(dim=1)


def _weights(context: Context, answers: Answers, gains: Tensor, rows: Tensor, settings: PosttrainSettings) -> Tensor:
    """Weights (N,) of the rows of one minibatch, 0 elsewhere; STaR counts accepted rows only."""
    counted = torch.zeros_like(gains, dtype=torch.bool)
    counted[rows] = True
    if settings.objective.advantage == "accept":
        counted &= gains > 0
    return sequence_weights(
        answers.rollout.num_actions,
        settings.objective.aggregate,
        max_length=context.task.long_length + 1,
        counted=counted,
    )


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
