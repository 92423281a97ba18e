"""The engine's actions on a language model: an update of next-token prediction, sampling, and an RL update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from chainlift.bench.ours import OPTIMIZER, draw_batch, draw_prompts
from chainlift.bench.states import next_token_stage, rl_stage
from chainlift.bench.timing import Work
from chainlift.learning import advantage, next_token
from chainlift.learning.objective import sequence_weights
from chainlift.learning.optimizer import apply_gradients, make_optimizer
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import PRESETS
from chainlift.learning.rollout import Rollout
from chainlift.measure.evaluate import Answers, answer
from chainlift.models.model import Model
from chainlift.seeding import stream
from chainlift.stages.recipe import Recipe
from chainlift.tasks.base import Task


@dataclass(frozen=True)
class Samples:
    """Recorded responses with rewards (N,)."""

    rollout: Rollout
    rewards: Tensor


class TextEngine:
    """A language model of our own engine, ready to be timed; its methods are actions."""

    def __init__(self, recipe: Recipe, model: Model, task: Task) -> None:
        self.recipe, self.task, self.model = recipe, task, model
        self.optimizer = make_optimizer(model, OPTIMIZER)

    def next_token_update(self, step: int) -> Callable[[], Work]:
        """An update of next-token prediction; drawing the demonstrations is included."""
        batch = draw_batch(self.recipe, self.task, step)
        next_token.accumulate_gradient(self.model, batch, next_token_stage(self.recipe)[1].loss_weighting)
        apply_gradients(self.model, self.optimizer, OPTIMIZER, step, 10**6)
        return lambda: Work(sum(len(part.prompts) for part in batch.parts), batch.num_tokens)

    def rollout(self, step: int) -> Callable[[], Work]:
        """The samples of a round, verified."""
        rollout = self._sampled(step).rollout
        return lambda: Work(len(rollout.rows), int(rollout.num_actions.sum()))

    def record(self, step: int, *, coins: bool) -> Samples:
        """The samples of a round with their rewards, those of the task or coin flips."""
        answers = self._sampled(step)
        rewards = answers.verdict.answer_correct.float()
        if coins:
            rewards = torch.randint(2, rewards.shape, generator=stream(0, "bench/coins", step)).to(rewards)
        return Samples(answers.rollout, rewards)

    def update(self, samples: Samples, step: int) -> Callable[[], Work]:
        """An RL update on recorded samples."""
        self.accumulate(samples)
        apply_gradients(self.model, self.optimizer, OPTIMIZER, step, 10**6)
        return lambda: Work(len(samples.rewards), int(samples.rollout.num_actions.sum()))

    def accumulate(self, samples: Samples) -> None:
        """Add the gradient of an RL update on recorded samples."""
        settings, rollout = rl_stage(self.recipe)[1], samples.rollout
        preset, max_length = PRESETS[settings.algorithm], self.task.long_length + 1
        rewards = samples.rewards.view(-1, settings.group_size)
        advantages = advantage.estimate(rewards, preset.advantage).flatten()
        weights = sequence_weights(rollout.num_actions, preset.aggregate, max_length=max_length)
        batch = PolicyBatch(rollout, advantages, weights, on_policy=True)
        accumulate_gradient(self.model, batch, preset, temperature=settings.temperature)

    def _sampled(self, step: int) -> Answers:
        settings = rl_stage(self.recipe)[1]
        return answer(
            self.model,
            self.task,
            draw_prompts(self.task, settings.prompts, step),
            group_size=settings.group_size,
            temperature=settings.temperature,
            generator=stream(0, "bench/samples", step),
        )
