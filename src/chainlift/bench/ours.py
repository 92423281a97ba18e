"""What the engine does in a run, one action each: an update of stage 1, a rollout, an RL update, an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from chainlift.bench.flops import LEARNING, all_different, contexts, forward
from chainlift.bench.machine import Machine
from chainlift.bench.states import next_token_stage
from chainlift.bench.timing import Doing, Work
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

OPTIMIZER = OptimizerSettings(lr=1e-6, warmup=0, schedule="constant")  # the models stay in the states they came in


def product(recipe: Recipe) -> tuple[int, int]:
    """(width, hidden width) of the recipe's transformer."""
    sizes = _sizes(recipe.model, 1)
    return sizes.width, sizes.hidden


def _sizes(settings: Settings, vocabulary_size: int) -> ProductSizes:
    found = families.family_of(settings).product_sizes(settings, vocabulary_size)
    assert found is not None
    return found


def drawn(recipe: Recipe, task: Task, step: int) -> MixtureBatch:
    """Batch number `step` of the recipe's stage 1."""
    name, stage = next_token_stage(recipe)
    return mixture.draw(task, recipe.mixture_of(name), stage.batch_size, seed=0, name="bench", step=step)


def asked(task: Task, number: int, step: int) -> Tensor:
    """Prompts (number, T) of repetition `step`."""
    return task.prompts(number, stream(0, "bench/prompts", step))


class Engine:
    """A checkpoint of ours, ready to be timed; each method gives one repetition of an action."""

    def __init__(self, recipe: Recipe, folder: Path, machine: Machine) -> None:
        model, self.task = model_folder.load(folder, typed=texts(recipe.model_dump()))
        self.model: Model = model.to(machine.device)
        self.recipe, self.machine = recipe, machine
        self.sizes = _sizes(model.settings, model.vocabulary_size)
        self.prefix_length = self.task.prompt_length - 1
        self.optimizer = make_optimizer(model, OPTIMIZER)

    def apply(self, step: int) -> None:
        """The optimizer's step."""
        apply_gradients(self.model, self.optimizer, OPTIMIZER, step, 10**6)

    def stage_1(self) -> Doing:
        """An update of stage 1 on fresh demonstrations, the drawing included."""

        def update(step: int) -> Callable[[], Work]:
            batch = drawn(self.recipe, self.task, step)
            with self.machine.autocast():
                next_token.accumulate_gradient(self.model, batch, next_token_stage(self.recipe)[1].loss_weighting)
            self.apply(step)
            return lambda: self.learned(batch)

        return update

    def rollout(self, settings: ReinforcementLearning) -> Doing:
        """A round's samples, verified."""

        def sample(step: int) -> Callable[[], Work]:
            found = self._sampled(settings, step).rollout
            return lambda: self.sampled(found)

        return sample

    def update(self, settings: ReinforcementLearning, *, algorithm: str, coins: bool = False) -> Doing:
        """An RL update: a round's samples, their rewards (`coins`: coin flips) and advantages, the step."""
        preset = PRESETS[algorithm]

        def update(step: int) -> Callable[[], Work]:
            found = self._sampled(settings, step)
            rewards = found.verdict.answer_correct.float()
            if coins:
                flips = torch.randint(2, rewards.shape, generator=stream(0, "bench/coins", step))
                rewards = flips.to(rewards)
            advantages = advantage.estimate(rewards.view(-1, settings.group_size), preset.advantage).flatten()
            rollout = found.rollout
            weights = sequence_weights(rollout.num_actions, preset.aggregate, max_length=self.task.long_length + 1)
            batch = PolicyBatch(rollout, advantages, weights, on_policy=True)
            with self.machine.autocast():
                accumulate_gradient(self.model, batch, preset, temperature=1.0)
            self.apply(step)
            return lambda: self.sampled(rollout, learned=advantages != 0)

        return update

    def evaluate(self, num_prompts: int) -> Doing:
        """An evaluation inside a stage: greedy, sampled and the decisions' odds on fresh prompts.

        Of the operations that it needs the odds are left out, and greedy and sampled responses count apart.
        """

        def measure(step: int) -> Callable[[], Work]:
            with self.machine.autocast():
                told = evaluate.measure(self.model, self.task, num_prompts, seed=0, name="bench/evaluate", step=step)
            actions = torch.cat([_actions(told[mode]["length_histogram"]) for mode in ("greedy", "sampled")])
            needed = all_different(actions)
            return lambda: Work(
                len(actions), int(actions.sum()), forward(self.sizes, num_prompts, self.prefix_length, needed)
            )

        return measure

    def evaluation_prompts(self, num_prompts: int, step: int) -> Tensor:
        """The prompts (num_prompts, T) that `evaluate` takes at a step."""
        return held_out(self.task).prompts(num_prompts, stream(0, "bench/evaluate/prompts", step))

    def _sampled(self, settings: ReinforcementLearning, step: int) -> Answers:
        prompts, generator = asked(self.task, settings.prompts, step), stream(0, "bench/samples", step)
        with self.machine.autocast():
            return answer(self.model, self.task, prompts, group_size=settings.group_size, generator=generator)

    def learned(self, batch: MixtureBatch) -> Work:
        """What stage 1 does with a batch, whose prompts are taken to be different."""
        lengths = torch.cat([part.mask.sum(dim=1) for part in batch.parts])
        needed = forward(self.sizes, len(lengths), self.prefix_length, all_different(lengths))
        return Work(len(lengths), batch.num_tokens, LEARNING * needed)

    def sampled(self, rollout: Rollout, learned: Tensor | None = None) -> Work:
        """What sampling a rollout takes and, where some rows are `learned` (N,) from, their gradient."""
        needed = self.through(rollout, torch.ones_like(rollout.rows, dtype=torch.bool))
        if learned is not None:
            needed += LEARNING * self.through(rollout, learned)
        return Work(len(rollout.rows), int(rollout.num_actions.sum()), needed)

    def through(self, rollout: Rollout, kept: Tensor) -> float:
        """Operations of a forward pass over the rows that are `kept` (N,)."""
        rows, actions = rollout.rows[kept].cpu(), rollout.num_actions[kept].cpu()
        per_place = contexts(rows, rollout.responses[kept].cpu(), actions)
        return forward(self.sizes, len(rows.unique()), self.prefix_length, per_place)


def _actions(lengths: dict[str, int]) -> Tensor:
    """(N,) tokens sampled in each response, from how many have which length.

    Each is taken to end with EOS, so one that is cut off counts for a token more than it has.
    """
    return torch.cat([torch.full((count,), int(length) + 1) for length, count in lengths.items()])
