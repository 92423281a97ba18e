"""What the engine does in a run, one action each: an update of stage 1, a rollout, an RL update, an evaluation.

Two savings are a matter of how the engine is called, so they are left out here: `buckets` by joining a batch's two
parts, `shared prompts` by handing every sample a prompt of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chainlift.bench.flops import LEARNING, Sizes, forward
from chainlift.bench.timing import Work
from chainlift.learning import advantage, next_token
from chainlift.learning.objective import PRESETS, sequence_weights
from chainlift.learning.optimiser import OptimiserSettings, apply_gradients, make_optimiser
from chainlift.learning.policy_update import PolicyBatch, PosttrainSettings, accumulate_gradient
from chainlift.measure import evaluate
from chainlift.measure.evaluate import Answers, answer
from chainlift.models import hub, savings
from chainlift.models.transformer import Transformer
from chainlift.recipe import Recipe
from chainlift.seeding import stream
from chainlift.tasks import mixture
from chainlift.tasks.base import Demonstrations, Task, held_out
from chainlift.tasks.mixture import MixtureBatch

OPTIMISER = OptimiserSettings(lr=1e-6, warmup=0, schedule="constant")  # the models stay in the states they came in
Doing = Callable[[int], Work]


def autocast(dtype: str) -> AbstractContextManager[Any]:
    """The precision that both sides compute in."""
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16")


def drawn(recipe: Recipe, task: Task, step: int) -> MixtureBatch:
    """Batch number `step` of the recipe's stage 1."""
    return mixture.draw(task, recipe.mixture, recipe.pretrain.batch_size, seed=0, name="bench", step=step)


def asked(task: Task, number: int, step: int) -> Tensor:
    """Prompts (number, T) of repetition `step`."""
    return task.prompts(number, stream(0, "bench/prompts", step))


def joined(batch: MixtureBatch, eos: int) -> MixtureBatch:
    """The batch as one padded part."""
    parts = batch.parts
    longest = max(part.responses.shape[1] for part in parts)

    def column(name: str, value: int) -> Tensor:
        found = [getattr(part, name) for part in parts]
        return torch.cat([F.pad(one, (0, longest - one.shape[1]), value=value) for one in found])

    whole = Demonstrations(
        torch.cat([part.prompts for part in parts]), column("responses", eos), column("mask", 0).bool()
    )
    return in_one_part(whole)


def in_one_part(rows: Demonstrations) -> MixtureBatch:
    """A batch that has these rows in one part, whatever their form."""
    none = Demonstrations(rows.prompts[:0], rows.responses[:0], rows.mask[:0])
    return MixtureBatch(short=none, long=rows)


class Engine:
    """A checkpoint of ours, ready to be timed; each method gives one repetition of an action."""

    def __init__(self, recipe: Recipe, folder: Path, dtype: str) -> None:
        model, self.task = hub.load(folder)
        assert isinstance(model, Transformer)
        self.model, self.recipe, self.dtype = model, recipe, dtype
        self.sizes = Sizes.of(model)
        self.prefix_length = self.task.prompt_length - 1
        self.optimiser = make_optimiser(model, OPTIMISER)

    def apply(self, step: int) -> None:
        """The optimiser's step."""
        apply_gradients(self.model, self.optimiser, OPTIMISER, step, 10**6)

    def stage_1(self, *, without: tuple[str, ...] = ()) -> Doing:
        """An update of stage 1 on fresh demonstrations, the drawing included; some savings off."""

        def update(step: int) -> Work:
            batch = drawn(self.recipe, self.task, step)
            counted = batch
            if "buckets" in without:
                batch = joined(batch, self.task.vocabulary.eos)
            with savings.without(*without), autocast(self.dtype):
                next_token.accumulate_gradient(self.model, batch, self.recipe.pretrain.loss_weighting)
            self.apply(step)
            suffixes = torch.cat([part.mask.sum(dim=1) for part in counted.parts])
            needed = forward(self.sizes, len(suffixes), self.prefix_length, suffixes)
            return Work(counted.num_tokens, LEARNING * needed)

        return update

    def rollout(self, settings: PosttrainSettings, *, without: tuple[str, ...] = ()) -> Doing:
        """A round's samples, verified; some savings off."""

        def sample(step: int) -> Work:
            found = self._sampled(settings, step, without)
            return Work(int(found.rollout.num_actions.sum()), self._sampling(settings, found))

        return sample

    def update(
        self, settings: PosttrainSettings, *, algorithm: str, coins: bool = False, without: tuple[str, ...] = ()
    ) -> Doing:
        """An RL update: a round's samples, their rewards (`coins`: coin flips) and advantages, the step."""
        preset = PRESETS[algorithm]

        def update(step: int) -> Work:
            found = self._sampled(settings, step, without)
            rewards = found.verdict.answer.float()
            if coins:
                rewards = torch.randint(2, rewards.shape, generator=stream(0, "bench/coins", step)).float()
            gains = advantage.estimate(rewards.view(-1, settings.group_size), preset.advantage).flatten()
            rollout = found.rollout
            weights = sequence_weights(rollout.num_actions, preset.aggregate, max_length=self.task.long_length + 1)
            batch = PolicyBatch(rollout, gains, weights, on_policy=True)
            with savings.without(*without), autocast(self.dtype):
                accumulate_gradient(self.model, batch, preset, temperature=1.0)
            self.apply(step)
            kept = gains != 0
            groups = int(kept.view(-1, settings.group_size).any(dim=1).sum())
            learned = forward(self.sizes, groups, self.prefix_length, rollout.num_actions[kept])
            return Work(int(rollout.num_actions.sum()), self._sampling(settings, found) + LEARNING * learned)

        return update

    def evaluate(self, num_prompts: int, *, without: tuple[str, ...] = ()) -> Doing:
        """An evaluation inside a stage: greedy, sampled and the decisions' odds on fresh prompts.

        The odds are left out of the operations that it needs.
        """

        def measure(step: int) -> Work:
            with savings.without(*without), autocast(self.dtype):
                told = evaluate.measure(self.model, self.task, num_prompts, seed=0, name="bench/evaluate", step=step)
            actions = torch.cat([_actions(told[mode]["length_histogram"]) for mode in ("greedy", "sampled")])
            return Work(int(actions.sum()), forward(self.sizes, num_prompts, self.prefix_length, actions))

        return measure

    def evaluation_prompts(self, num_prompts: int, step: int) -> Tensor:
        """The prompts (num_prompts, T) that `evaluate` takes at a step."""
        return held_out(self.task).prompts(num_prompts, stream(0, "bench/evaluate/prompts", step))

    def _sampled(self, settings: PosttrainSettings, step: int, without: tuple[str, ...]) -> Answers:
        prompts, group_size = asked(self.task, settings.prompts, step), settings.group_size
        if "shared prompts" in without:
            prompts, group_size = prompts.repeat_interleave(group_size, dim=0), 1
        with savings.without(*without), autocast(self.dtype):
            generator = stream(0, "bench/samples", step)
            return answer(self.model, self.task, prompts, group_size=group_size, generator=generator)

    def _sampling(self, settings: PosttrainSettings, found: Answers) -> float:
        """Operations that a round's samples need."""
        return forward(self.sizes, settings.prompts, self.prefix_length, found.rollout.num_actions)


def _actions(lengths: dict[str, int]) -> Tensor:
    """(N,) tokens sampled in each response, from how many have which length.

    Each is taken to end with EOS, so one that is cut off counts for a token more than it has.
    """
    return torch.cat([torch.full((count,), int(length) + 1) for length, count in lengths.items()])
