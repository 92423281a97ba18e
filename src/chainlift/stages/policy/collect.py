"""A round's samples: drawn, rewarded, chosen by dynamic sampling where the recipe says so, and described."""

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
    """What a round drew, and what of it is learned from: the same, unless groups are chosen (dynamic sampling)."""

    drawn: Answers
    """All samples: what they say, they say of the policy."""
    drawn_raw: Tensor
    """(P', G) their rewards before shaping, which decide what is right and which groups have signal."""
    drawn_rewards: Tensor
    """(P', G) their rewards."""
    kept: Answers
    """The samples that are learned from."""
    raw: Tensor
    """(P, G) their rewards before shaping."""
    rewards: Tensor
    """(P, G) their rewards."""
    advantages: Tensor
    """(N,)."""
    num_tokens: int
    """Prompt and sampled tokens of all samples."""


def collect(context: Context, settings: ReinforcementLearning, model: Model, state: TrainerState) -> Round:
    """The samples of the round that the state has come to, with their rewards.

    With dynamic sampling, groups of equal rewards (before shaping) give way to groups of further prompts, for at most
    `dynamic_sampling_tries` draws; what is still missing then is filled up with groups without signal.
    """
    task, seed = context.task, context.recipe.seed
    parts: list[Answers] = []
    raws: list[Tensor] = []
    for attempt in range(settings.dynamic_sampling_tries if settings.dynamic_sampling else 1):
        found = answer(
            model,
            task,
            task.prompts(settings.prompts, stream(seed, f"{state.stage}/prompts", state.round, attempt)),
            group_size=settings.group_size,
            temperature=settings.temperature,
            generator=stream(seed, f"{state.stage}/samples", state.round, attempt),
        )
        parts.append(found)
        raws.append(reward.score(found.verdict, settings.reward).view(-1, settings.group_size))
        if sum(int(advantage.mixed(part).sum()) for part in raws) >= settings.prompts:
            break
    drawn, raw = Answers.join(parts, task.vocabulary.eos), torch.cat(raws)
    rewards = reward.shaped(
        raw.flatten(), drawn.verdict, length_penalty=settings.length_penalty, max_length=task.long_length
    ).view_as(raw)
    kept, groups = drawn, slice(None)
    # A stable sort puts groups with signal first; without further draws it keeps every group and only the order could
    # change.
    if len(parts) > 1:
        order = (~advantage.mixed(raw)).to(torch.int8).argsort(stable=True)[: settings.prompts]
        groups = order.sort().values
        kept = drawn.take_groups(groups)
    advantages = advantage.estimate(rewards[groups], settings.objective.advantage).flatten()
    num_tokens = sum(part.rollout.num_tokens for part in parts)
    return Round(drawn, raw, rewards, kept, raw[groups], rewards[groups], advantages, num_tokens)


def describe(found: Round) -> dict[str, Any]:
    """What a round's samples say about the policy, and how much signal there is in what is learned from.

    Where groups were chosen, the same of those that were kept, as `kept_...`.
    """
    told = _of_samples(found.drawn, found.drawn_raw, found.drawn_rewards)
    if found.kept is not found.drawn:
        kept = _of_samples(found.kept, found.raw, found.rewards)
        told |= {f"kept_{name}": value for name, value in kept.items()}
    return told | {
        "kept_share": float((found.advantages != 0).float().mean()),
        "advantage_abs_mean": float(found.advantages.abs().mean()),
        "entropy": float(found.drawn.rollout.entropy),
    }


def _of_samples(answers: Answers, raw: Tensor, rewards: Tensor) -> dict[str, float]:
    """Means over some groups of samples, with their rewards (P, G) before and after shaping."""
    verdict = answers.verdict
    return {
        "reward_mean": float(rewards.mean()),
        "accuracy": float(verdict.answer_correct.float().mean()),
        "long_share": float(verdict.long.float().mean()),
        "length_mean": float(verdict.length.float().mean()),
        "unfinished_share": float(1 - verdict.finished.float().mean()),
        **advantage.signal(raw),
    }
