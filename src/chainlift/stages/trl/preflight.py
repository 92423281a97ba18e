"""Preflight before RL: sample a few groups and warn if RL cannot learn from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainlift.learning.advantage import is_right
from chainlift.learning.reward import score
from chainlift.measure.text import draw, round_metrics, verdict_of
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.runs.checkpoint import TrainerState
from chainlift.stages.policy.preflight import warnings
from chainlift.stages.trl.context import TextContext

if TYPE_CHECKING:
    from chainlift.stages.kinds.trl_rl import TextReinforcementLearning

PROMPTS = 16


def preflight(
    context: TextContext, state: TrainerState, model: LanguageModel, stage: TextReinforcementLearning
) -> dict[str, Any]:
    """Measure 16 training problems with `group_size` samples each, print warnings and return the recorded row."""
    seed = context.recipe.seed
    problems = draw(context.task.problems[0], PROMPTS, seed=seed, name="llm/preflight/prompts", step=0)
    responses = context.evaluator(model).answer(
        [problem for problem in problems for _ in range(stage.group_size)],
        temperature=stage.temperature,
        seed=seed,
        name="llm/preflight/samples",
    )
    verdict = verdict_of(responses)
    rewards = score(verdict, stage.reward)
    signal = round_metrics(verdict, rewards, stage.group_size)
    rate = float(is_right(rewards).double().mean())
    metrics = {
        "prompts": len(problems),
        "samples": len(responses),
        "accuracy": float(verdict.answer_correct.double().mean()),
        "reward_mean": float(rewards.double().mean()),
        "long_share": signal["long_share"],
        "unfinished_share": signal["unfinished_share"],
        "groups_without_signal_expected": rate**stage.group_size + (1 - rate) ** stage.group_size,
        "groups_without_signal": signal["groups_all_right"] + signal["groups_all_wrong"],
    }
    compares = stage.algorithm != "star"
    metrics["warnings"] = warnings(metrics, stage.group_size, compares=compares, stage=state.stage)
    for warning in metrics["warnings"]:
        context.reporter.say(f"preflight: {warning}")
    return context.record(state, "preflight", metrics)
