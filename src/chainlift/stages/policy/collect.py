"""Samples of a round of RL: sampling, rewards, dynamic sampling and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chainlift.learning import advantage, reward
from chainlift.measure.evaluate import Answers, answer
from chainlift.models.model import Model
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream

if TYPE_CHECKING:
    from chainlift.stages.context import Context
    from chainlift.stages.kinds.rl import ReinforcementLearning


@dataclass(frozen=True)
class Round:
    """All samples of a round, and those that are learned from: the same, except in dynamic sampling."""

    sampled: Answers
    """All samples: they describe the policy."""
    sampled_raw: Tensor
    """(P', G) their rewards before shaping, which decide what is right and which groups have signal."""
    sampled_rewards: Tensor
    """(P', G) their rewards."""
    kept: Answers
    """The samples to learn from."""
    raw: Tensor
    """(P, G) their rewards before shaping."""
    rewards: Tensor
    """(P, G) their rewards."""
    advantages: Tensor
    """(N,)."""
    num_tokens: int
    """Prompt and sampled tokens of all samples."""


def collect(context: Context, settings: ReinforcementLearning, model: Model, state: TrainerState) -> Round:
    """Sample and reward the state's current round.

    With dynamic sampling, groups of equal rewards (before shaping) are replaced by groups of further prompts, for at
    most `dynamic_sampling_tries` batches; then groups without signal fill up the round.
    """
    task, seed = context.task, context.recipe.seed
    parts: list[Answers] = []
    raws: list[Tensor] = []
    for attempt in range(settings.dynamic_sampling_tries if settings.dynamic_sampling else 1):
        answers = answer(
            model,
            task,
            task.prompts(settings.prompts, stream(seed, f"{state.stage}/prompts", state.round, attempt)),
            group_size=settings.group_size,
            temperature=settings.temperature,
            generator=stream(seed, f"{state.stage}/samples", state.round, attempt),
        )
        parts.append(answers)
        raws.append(reward.score(answers.verdict, settings.reward).view(-1, settings.group_size))
        if sum(int(advantage.mixed(part).sum()) for part in raws) >= settings.prompts:
            break
    sampled, raw = Answers.join(parts, task.vocabulary.eos), torch.cat(raws)
    rewards = reward.shaped(
        raw.flatten(), sampled.verdict, length_penalty=settings.length_penalty, max_length=task.long_length
    ).view_as(raw)
    kept, groups = sampled, slice(None)
    # A stable sort puts groups with signal first; without further draws it keeps every group and only the order could
    # change.
    if len(parts) > 1:
        order = (~advantage.mixed(raw)).to(torch.int8).argsort(stable=True)[: settings.prompts]
        groups = order.sort().values
        kept = sampled.take_groups(groups)
    advantages = advantage.estimate(rewards[groups], settings.objective.advantage).flatten()
    num_tokens = sum(part.rollout.num_tokens for part in parts)
    return Round(sampled, raw, rewards, kept, raw[groups], rewards[groups], advantages, num_tokens)


def describe(samples: Round) -> dict[str, Any]:
    """Metrics of a round: those of all its samples, and the amount of signal in the samples that are learned from.

    With dynamic sampling, also the metrics of the kept samples, as `kept_...`.
    """
    metrics = _means(samples.sampled, samples.sampled_raw, samples.sampled_rewards)
    if samples.kept is not samples.sampled:
        kept = _means(samples.kept, samples.raw, samples.rewards)
        metrics |= {f"kept_{name}": value for name, value in kept.items()}
    return metrics | {
        "kept_share": float((samples.advantages != 0).float().mean()),
        "advantage_abs_mean": float(samples.advantages.abs().mean()),
        "entropy": float(samples.sampled.rollout.entropy),
    }


def _means(answers: Answers, raw: Tensor, rewards: Tensor) -> dict[str, float]:
    """Means over groups of samples, with their rewards (P, G) before and after shaping."""
    verdict = answers.verdict
    return {
        "reward_mean": float(rewards.mean()),
        "accuracy": float(verdict.answer_correct.float().mean()),
        "long_share": float(verdict.long.float().mean()),
        "length_mean": float(verdict.length.float().mean()),
        "unfinished_share": float(1 - verdict.finished.float().mean()),
        **advantage.signal(raw),
    }
