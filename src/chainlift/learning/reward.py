"""Verifiable rewards: functions of a verdict alone, never of the model.

A reward is a function from a verdict on N responses to N numbers from 0 (wrong) to 1 (right), found by its registered
name, by an entry point in the group `chainlift.rewards`, or as `package.module:name`.

Source: Tsilivis et al., arXiv 2510.11495 (end-to-end and chain-of-thought rewards).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from chainlift.registry import Registry
from chainlift.visible import one_line

if TYPE_CHECKING:  # a reward's name can be looked up without PyTorch
    from torch import Tensor

    from chainlift.tasks.base import Task, Verdict
    from chainlift.text.task import TextTask

TRIAL_PROMPTS = 4
CHAIN_REWARDS = ("chain", "steps")
"""Shipped rewards that read the chain before the answer."""


def _accept(reward: Any) -> Callable[[Verdict], Tensor]:
    if not callable(reward) or isinstance(reward, type):
        raise ValueError("a function from a verdict on N responses to N numbers")
    return cast("Callable[[Verdict], Tensor]", reward)


REWARDS: Registry[Callable[[Verdict], Tensor]] = Registry("reward", "chainlift.rewards", _accept)


def end_to_end(verdict: Verdict) -> Tensor:
    """1 if the answer is right, whatever precedes it."""
    return verdict.answer_correct.float()


def chain(verdict: Verdict) -> Tensor:
    """1 if the whole response is a correct one, long or short."""
    return verdict.chain_correct.float()


def steps(verdict: Verdict) -> Tensor:
    """Share of the chain's steps that are right if the answer is (1 without a chain), else 0."""
    share = verdict.steps_right / verdict.steps.clamp(min=1)
    return verdict.answer_correct * share.where(verdict.steps > 0, 1.0)


REWARDS.register("end_to_end", end_to_end, shipped=True)
REWARDS.register("chain", chain, shipped=True)
REWARDS.register("steps", steps, shipped=True)


def check(name: str, task: Task | TextTask) -> None:
    """Try a reward that is not shipped on gold responses of a task; ValueError in one line if it fails or cannot work.

    No grader of text reads the steps of a chain, so rewards of chains do not work on text.
    """
    from chainlift.text.task import TextTask
    from chainlift.text.verdict import as_verdict

    is_text = isinstance(task, TextTask)
    if is_text and name in CHAIN_REWARDS:
        raise ValueError(f"reward {name!r} judges the steps of a chain, which no grader of text reads")
    if REWARDS.is_shipped(name):
        return
    if is_text:
        score(as_verdict([True, False], [True, False], [True, True], [3, 1]), name)
        return
    import torch

    prompts = task.prompts(TRIAL_PROMPTS, torch.Generator().manual_seed(0))
    score(task.verify(prompts, task.gold(prompts, long=False)), name)


def score(verdict: Verdict, reward: str) -> Tensor:
    """Rewards (N,) before any shaping, which decide whether a response is right.

    ValueError in one line if a reward that is not shipped fails, or does not give one finite number a response.
    """
    function = REWARDS.find(reward)
    return function(verdict) if REWARDS.is_shipped(reward) else _checked(function, verdict, reward)


def _checked(function: Callable[[Verdict], Tensor], verdict: Verdict, name: str) -> Tensor:
    """The function's rewards (N,) as float32; ValueError in one line if they do not fit."""
    try:
        rewards = function(verdict)
    except Exception as error:  # an unknown function may raise anything
        raise ValueError(f"reward {name!r} fails: {type(error).__name__}: {one_line(str(error))}") from error
    shape = getattr(rewards, "shape", None)
    if shape != verdict.answer_correct.shape:
        got = type(rewards).__name__ if shape is None else f"the shape {tuple(shape)}"
        expected = f"a tensor of the shape {tuple(verdict.answer_correct.shape)}"
        raise ValueError(f"reward {name!r} must give {expected}, one number for each response (got {got})")
    rewards = rewards.to(verdict.answer_correct.device).float()
    if not bool(rewards.isfinite().all()):
        raise ValueError(f"reward {name!r} gives numbers that are not finite")
    return rewards


def shaped(rewards: Tensor, verdict: Verdict, *, length_penalty: float, max_length: int) -> Tensor:
    """Rewards (N,) less `length_penalty` * length / max_length, from which advantages are made."""
    return rewards - length_penalty * verdict.length / max_length if length_penalty else rewards
