"""How long a run would take on this machine: a few of its own steps, timed, and its numbers of steps.

RL and evaluations are timed as if every response were long, which is what they come to; early on they are faster. What
is timed has the recipe's sizes, except that RL's prompts are at most MOST_PROMPTS, and the time is scaled to them.
"""

from __future__ import annotations

import functools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from chainlift import recipe as recipes
from chainlift.learning import next_token
from chainlift.learning.objective import sequence_weights
from chainlift.learning.optimizer import apply_gradients, make_optimizer
from chainlift.learning.policy_update import PolicyBatch, PosttrainSettings, accumulate_gradient
from chainlift.learning.rollout import Rollout
from chainlift.measure.evaluate import ROWS_AT_ONCE
from chainlift.models import families, savings
from chainlift.models.model import Model
from chainlift.models.protocol import split_prompts
from chainlift.recipe import Recipe
from chainlift.runs import environment
from chainlift.seeding import stream
from chainlift.stages import needs
from chainlift.tasks import mixture
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import Task, has_chains, output_mask

MOST_PROMPTS = 32
REPEATS = 3  # after one that is not counted


@dataclass(frozen=True)
class Cost:
    """Seconds; RL and evaluations at most, as every response is taken to be long."""

    stage_1: float
    rl: float
    evaluations: float

    @property
    def seconds(self) -> float:
        """Of all of it."""
        return self.stage_1 + self.rl + self.evaluations

    def __str__(self) -> str:
        parts = [f"stage 1 about {told(self.stage_1)}"]
        if self.rl:
            parts.append(f"RL at most {told(self.rl)}")
        return f"{', '.join(parts)}, evaluations at most {told(self.evaluations)}"


def estimate(recipe: Recipe) -> Cost:
    """The cost of a run on this machine, its baseline left out; takes a few updates of each stage.

    What was timed is remembered for recipes of the same sizes, so that a grid over rates or seeds is timed once.
    """
    needs.check(recipe, environment.pick_device(recipe.device))
    units = _units(_sizes(recipe))
    evaluated = -(-recipe.pretrain.steps // recipe.evaluate.every) * recipe.evaluate.during + recipe.evaluate.prompts
    rl = 0.0
    if recipe.posttrain is not None:
        settings = recipe.posttrain
        rounds = -(-settings.updates // settings.updates_a_round)
        rl = rounds * units.sampled + settings.updates * units.updated / settings.minibatches
        evaluated += (
            -(-rounds // recipe.evaluate.posttrain_every) * recipe.evaluate.during + 2 * recipe.evaluate.prompts
        )
    return Cost(recipe.pretrain.steps * units.stage_1, rl, 2 * evaluated * units.decoded)  # greedy and sampled


@dataclass(frozen=True)
class _Units:
    """Seconds of: an update of stage 1, a round's samples, an update on all of them, a decoded response."""

    stage_1: float
    sampled: float
    updated: float
    decoded: float


def _sizes(recipe: Recipe) -> str:
    """Everything in a recipe that the time of its steps depends on, as JSON of a recipe."""
    content = recipe.model_dump(mode="json")
    pretrain = {"batch_size": recipe.pretrain.batch_size, "loss_weighting": recipe.pretrain.loss_weighting}
    kept: dict[str, Any] = {key: content[key] for key in ("task", "mixture", "model", "device", "dtype", "threads")}
    kept |= {"pretrain": pretrain, "evaluate": {"during": recipe.evaluate.during}}
    if recipe.posttrain is not None:
        rl = recipe.posttrain
        kept["posttrain"] = {"prompts": rl.prompts, "group_size": rl.group_size, "algorithm": rl.algorithm}
    return json.dumps(kept, sort_keys=True)


@functools.cache
def _units(sizes: str) -> _Units:
    recipe = recipes.build(json.loads(sizes))
    task = tasks.build(recipe.task)
    device = torch.device(environment.pick_device(recipe.device))
    model = families.build(recipe.model, task).initialise(stream(0, "model")).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.dtype == "bfloat16"):
        stage_1 = _stage_1_update(recipe, task, model)
        form = has_chains(task)
        rows = min(ROWS_AT_ONCE, recipe.evaluate.during)
        answers = _gold_rollout(task, model, rows, 1, long=form)
        decoded = median_seconds(lambda step: _decode(answers, model, task)) / rows
        if recipe.posttrain is None:
            return _Units(stage_1, 0.0, 0.0, decoded)
        settings = recipe.posttrain
        prompts = min(settings.prompts, MOST_PROMPTS)
        rollout = _gold_rollout(task, model, prompts, settings.group_size, long=form)
        times = settings.prompts / prompts
        sampled = median_seconds(lambda step: _decode(rollout, model, task)) * times
        updated = median_seconds(lambda step: _policy_update(rollout, model, settings, task)) * times
    return _Units(stage_1, sampled, updated, decoded)


def _stage_1_update(recipe: Recipe, task: Task, model: Model) -> float:
    """Seconds of one update of stage 1."""
    optimizer = make_optimizer(model, recipe.pretrain)

    def update(step: int) -> None:
        batch = mixture.draw(task, recipe.mixture, recipe.pretrain.batch_size, seed=0, name="cost", step=step)
        next_token.accumulate_gradient(model, batch, recipe.pretrain.loss_weighting)
        apply_gradients(model, optimizer, recipe.pretrain, step, recipe.pretrain.steps)

    return median_seconds(update)


def _gold_rollout(task: Task, model: Model, prompts: int, group_size: int, *, long: bool) -> Rollout:
    """A rollout whose every response is the gold one."""
    device = next(model.parameters()).device
    asked = task.prompts(prompts, stream(0, "cost/prompts")).to(device)
    rows = torch.arange(prompts, device=device).repeat_interleave(group_size)
    responses = task.gold(asked, long=long)[rows]
    num_actions = output_mask(responses, task.vocabulary.eos).sum(dim=1)
    logp = torch.zeros(responses.shape, device=device)
    return Rollout(asked, rows, responses, logp, num_actions, torch.zeros((), device=device))


@torch.no_grad()
def _decode(rollout: Rollout, model: Model, task: Task) -> None:
    """Token by token through the rollout's responses."""
    prefix, last = split_prompts(rollout.prompts)
    group_size = len(rollout.rows) // len(rollout.prompts)
    decoder = model.decoder(model.prefill(prefix), rollout.responses.shape[1])
    decoder.spread(group_size)
    tokens = last[rollout.rows, 0]
    for column in rollout.responses.unbind(dim=1):
        decoder.step(tokens)
        tokens = column
    task.verify(rollout.row_prompts, rollout.responses)


def _policy_update(rollout: Rollout, model: Model, settings: PosttrainSettings, task: Task) -> None:
    """The gradient of one update in which every row counts."""
    gains = torch.ones(len(rollout.rows), device=rollout.rows.device)
    weights = sequence_weights(
        rollout.num_actions,
        settings.objective.aggregate,
        max_length=task.long_length + 1,
        counted=torch.ones_like(gains, dtype=torch.bool),
    )
    batch = PolicyBatch(rollout, gains, weights, on_policy=True, start_logp=None)
    with savings.without("equal samples"):  # here all are equal, in a run they need not be
        accumulate_gradient(model, batch, settings.objective, temperature=settings.temperature, kl=0.0)
    model.zero_grad(set_to_none=True)


def median_seconds(action: Callable[[int], None]) -> float:
    """Median seconds of an action, after one call that is not counted."""
    action(0)
    found = []
    for step in range(REPEATS):
        started = time.perf_counter()
        action(step + 1)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def told(seconds: float) -> str:
    """Seconds for people."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
