"""Preflight before RL: sample a few groups and warn if RL cannot learn from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainlift.learning import advantage, reward, sharding
from chainlift.measure.evaluate import answer
from chainlift.models.model import Model
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream

if TYPE_CHECKING:
    from chainlift.stages.context import Context
    from chainlift.stages.kinds.rl import ReinforcementLearning

PROMPTS = 64
UNFINISHED_LIMIT = 0.5  # with more unfinished responses rewards are unreliable
DEAD_LIMIT = 0.9  # with more groups without signal most work is wasted


def preflight(context: Context, state: TrainerState, model: Model, settings: ReinforcementLearning) -> dict[str, Any]:
    """Measure 64 prompts with `group_size` samples each, print warnings and return the recorded row."""
    task, seed = context.task, context.recipe.seed
    with sharding.whole(model), context.precision():
        answers = answer(
            model,
            task,
            task.prompts(PROMPTS, stream(seed, "preflight/prompts")),
            group_size=settings.group_size,
            temperature=settings.temperature,
            generator=stream(seed, "preflight/samples"),
        )
    verdict = answers.verdict
    rewards = reward.score(verdict, settings.reward).view(PROMPTS, -1)
    signal = advantage.signal(rewards)
    rate = float(advantage.is_right(rewards).float().mean())
    metrics = {
        "prompts": PROMPTS,
        "samples": rewards.numel(),
        "accuracy": float(verdict.answer_correct.float().mean()),
        "reward_mean": float(rewards.mean()),
        "long_share": float(verdict.long.float().mean()),
        "unfinished_share": float(1 - verdict.finished.float().mean()),
        "groups_without_signal_expected": rate**settings.group_size + (1 - rate) ** settings.group_size,
        "groups_without_signal": signal["groups_all_right"] + signal["groups_all_wrong"],
    }
    compares = settings.objective.advantage in advantage.GROUP_KINDS
    metrics["warnings"] = warnings(metrics, settings.group_size, compares=compares, stage=state.stage)
    row = context.record(state, "preflight", metrics)
    for warning in metrics["warnings"]:
        context.reporter.say(f"preflight: {warning}")
    return row


def warnings(metrics: dict[str, Any], group_size: int, *, compares: bool, stage: str) -> list[str]:
    """Warnings for the user before RL starts.

    compares: whether the algorithm learns from differences within a group.
    """
    messages = []
    samples = metrics["samples"]
    if metrics["reward_mean"] == 0:
        messages.append(f"no sample out of {samples} earned a reward: RL has nothing to learn from")
    if metrics["long_share"] == 0:
        messages.append(f"no long response among {samples} samples: RL cannot make more of what is never sampled")
    if metrics["unfinished_share"] > UNFINISHED_LIMIT:
        messages.append(
            f"{metrics['unfinished_share']:.0%} of the responses do not end: train longer before RL, "
            "so that EOS is learned"
        )
    dead = metrics["groups_without_signal_expected"]
    if compares and dead > DEAD_LIMIT and metrics["reward_mean"] > 0:
        messages.append(
            f"{dead:.0%} of the groups are expected to have equal rewards and so no signal: raise {stage}.group_size "
            f"(now {group_size})"
        )
    return messages
