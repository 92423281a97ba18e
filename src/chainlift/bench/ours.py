"""The engine's actions in a run: an update of next-token prediction, a rollout, an RL update, an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from chainlift.bench.flops import LEARNING, all_different, contexts, forward
from chainlift.bench.machine import Machine
from chainlift.bench.states import next_token_stage
from chainlift.bench.timing import UntimedAction, Work
from chainlift.learning import advantage, next_token
from chainlift.learning.objective import sequence_weights
from chainlift.learning.optimizer import OptimizerSettings, apply_gradients, make_optimizer
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import PRESETS
from chainlift.learning.rollout import Rollout
from chainlift.measure import evaluate
from chainlift.measure.evaluate import Answers, answer
from chainlift.models import families
from chainlift.models.hub import model_folder
from chainlift.models.model import Model
from chainlift.models.transformer.products import ProductSizes
from chainlift.references import texts
from chainlift.seeding import stream
from chainlift.settings import Settings
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.recipe import Recipe
from chainlift.tasks import mixture
from chainlift.tasks.base import Task, held_out
from chainlift.tasks.mixture import MixtureBatch

OPTIMIZER = OptimizerSettings(lr=1e-6, warmup=0, schedule="constant")  # so low a rate keeps the models in their states


def product(recipe: Recipe) -> tuple[int, int]:
    """(width, hidden width) of the recipe's transformer."""
    sizes = _sizes(recipe.model, 1)
    return sizes.width, sizes.hidden


def _sizes(settings: Settings, vocabulary_size: int) -> ProductSizes:
    sizes = families.family_of(settings).product_sizes(settings, vocabulary_size)
    assert sizes is not None
    return sizes


def draw_batch(recipe: Recipe, task: Task, step: int) -> MixtureBatch:
    """Batch number `step` of the recipe's next-token prediction."""
    name, stage = next_token_stage(recipe)
    return mixture.draw(task, recipe.mixture_of(name), stage.batch_size, seed=0, name="bench", step=step)


def draw_prompts(task: Task, count: int, step: int) -> Tensor:
    """Prompts (count, T) of repetition `step`."""
    return task.prompts(count, stream(0, "bench/prompts", step))


class Engine:
    """A checkpoint of chainlift's, ready to be timed; its methods return actions."""

    def __init__(self, recipe: Recipe, folder: Path, machine: Machine) -> None:
        model, self.task = model_folder.load(folder, typed=texts(recipe.model_dump()))
        self.model: Model = model.to(machine.device)
        self.recipe, self.machine = recipe, machine
        self.sizes = _sizes(model.settings, model.vocabulary_size)
        self.prefix_length = self.task.prompt_length - 1
        self.optimizer = make_optimizer(model, OPTIMIZER)

    def apply(self, step: int) -> None:
        """Take the optimizer's step."""
        apply_gradients(self.model, self.optimizer, OPTIMIZER, step, 10**6)

    def next_token_update(self) -> UntimedAction:
        """An update of next-token prediction on fresh demonstrations; drawing them is included."""

        def update(step: int) -> Callable[[], Work]:
            batch = draw_batch(self.recipe, self.task, step)
            with self.machine.autocast():
                next_token.accumulate_gradient(self.model, batch, next_token_stage(self.recipe)[1].loss_weighting)
            self.apply(step)
            return lambda: self.learning_work(batch)

        return update

    def rollout(self, settings: ReinforcementLearning) -> UntimedAction:
        """The samples of a round, verified."""

        def sample(step: int) -> Callable[[], Work]:
            sampled_rollout = self._sampled(settings, step).rollout
            return lambda: self.sampling_work(sampled_rollout)

        return sample

    def update(self, settings: ReinforcementLearning, *, algorithm: str, coins: bool = False) -> UntimedAction:
        """An RL update: samples of a round, rewards, advantages, and the step. coins: rewards are coin flips."""
        preset = PRESETS[algorithm]

        def update(step: int) -> Callable[[], Work]:
            answers = self._sampled(settings, step)
            rewards = answers.verdict.answer_correct.float()
            if coins:
                flips = torch.randint(2, rewards.shape, generator=stream(0, "bench/coins", step))
                rewards = flips.to(rewards)
            advantages = advantage.estimate(rewards.view(-1, settings.group_size), preset.advantage).flatten()
            rollout = answers.rollout
            weights = sequence_weights(rollout.num_actions, preset.aggregate, max_length=self.task.long_length + 1)
            batch = PolicyBatch(rollout, advantages, weights, on_policy=True)
            with self.machine.autocast():
                accumulate_gradient(self.model, batch, preset, temperature=1.0)
            self.apply(step)
            return lambda: self.sampling_work(rollout, learned=advantages != 0)

        return update

    def evaluate(self, num_prompts: int) -> UntimedAction:
        """An evaluation during a stage: greedy and sampled responses to fresh prompts, and the odds of decisions.

        The counted operations exclude the odds; greedy and sampled responses count separately.
        """

        def measure(step: int) -> Callable[[], Work]:
            with self.machine.autocast():
                measured = evaluate.measure(
                    self.model, self.task, num_prompts, seed=0, name="bench/evaluate", step=step
                )
            actions = torch.cat([_actions(measured[mode]["length_histogram"]) for mode in ("greedy", "sampled")])
            needed = all_different(actions)
            return lambda: Work(
                len(actions), int(actions.sum()), forward(self.sizes, num_prompts, self.prefix_length, needed)
            )

        return measure

    def evaluation_prompts(self, num_prompts: int, step: int) -> Tensor:
        """The prompts (num_prompts, T) of `evaluate` at a step."""
        return held_out(self.task).prompts(num_prompts, stream(0, "bench/evaluate/prompts", step))

    def _sampled(self, settings: ReinforcementLearning, step: int) -> Answers:
        prompts, generator = draw_prompts(self.task, settings.prompts, step), stream(0, "bench/samples", step)
        with self.machine.autocast():
            return answer(self.model, self.task, prompts, group_size=settings.group_size, generator=generator)

    def learning_work(self, batch: MixtureBatch) -> Work:
        """The work of next-token prediction on a batch, assuming that its prompts differ."""
        lengths = torch.cat([part.mask.sum(dim=1) for part in batch.parts])
        needed = forward(self.sizes, len(lengths), self.prefix_length, all_different(lengths))
        return Work(len(lengths), batch.num_tokens, LEARNING * needed)

    def sampling_work(self, rollout: Rollout, learned: Tensor | None = None) -> Work:
        """The work of sampling a rollout and, if given, of the gradient of the rows `learned` (N,)."""
        needed = self.forward_flops(rollout, torch.ones_like(rollout.rows, dtype=torch.bool))
        if learned is not None:
            needed += LEARNING * self.forward_flops(rollout, learned)
        return Work(len(rollout.rows), int(rollout.num_actions.sum()), needed)

    def forward_flops(self, rollout: Rollout, kept: Tensor) -> float:
        """Operations of a forward pass over the rows `kept` (N,) of a rollout."""
        rows, actions = rollout.rows[kept].cpu(), rollout.num_actions[kept].cpu()
        per_place = contexts(rows, rollout.responses[kept].cpu(), actions)
        return forward(self.sizes, len(rows.unique()), self.prefix_length, per_place)


def _actions(lengths: dict[str, int]) -> Tensor:
    """Numbers (N,) of sampled tokens of each response, from {length: count}.

    Each response is assumed to end with EOS, so a truncated one counts one token too many.
    """
    return torch.cat([torch.full((count,), int(length) + 1) for length, count in lengths.items()])
