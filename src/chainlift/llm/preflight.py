"""Before RL: sample a few groups, and say in words when RL cannot start."""

from __future__ import annotations

from typing import Any

from chainlift.llm.context import LlmContext
from chainlift.llm.measuring import draw
from chainlift.llm.round_signal import signal_of
from chainlift.llm.settings import LlmPosttrainSettings
from chainlift.runs.checkpoint import TrainerState
from chainlift.stages.preflight import warnings

PROMPTS = 16


def preflight(
    context: LlmContext, state: TrainerState, model: Any, tokenizer: Any, settings: LlmPosttrainSettings
) -> dict[str, Any]:
    """The recorded row: what 16 training problems with `group_size` samples each say about RL's chances from here."""
    seed = context.recipe.seed
    problems = draw(context.problems[0], PROMPTS, seed=seed, name="llm/preflight/prompts", step=0)
    judged = context.examinee(model, tokenizer).answer(
        [one for one in problems for _ in range(settings.group_size)],
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=seed,
        name="llm/preflight/samples",
        rows_at_once=context.recipe.evaluate.rows_at_once,
    )
    signal = signal_of(judged, settings.group_size)
    rate = sum(one.is_right for one in judged) / len(judged)
    found = {
        "prompts": len(problems),
        "samples": len(judged),
        "accuracy": rate,
        "reward_mean": rate,
        "long_share": signal["long_share"],
        "unfinished_share": signal["unfinished_share"],
        "groups_without_signal_expected": rate**settings.group_size + (1 - rate) ** settings.group_size,
        "groups_without_signal": signal["groups_all_right"] + signal["groups_all_wrong"],
    }
    found["warnings"] = warnings(found, settings.group_size, compares=settings.algorithm != "star", stage=state.stage)
    for warning in found["warnings"]:
        context.reporter.say(f"preflight: {warning}")
    return context.record(state, "preflight", found)
