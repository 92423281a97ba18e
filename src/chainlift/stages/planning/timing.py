"""Seconds of single steps on this machine, from a few timed steps of a recipe.

RL and evaluations are timed as if every response were long, as they are in the end. Timed steps have the recipe's
sizes, except that RL has at most MAX_PROMPTS prompts and its time is scaled. Times are remembered, so that a grid over
rates or seeds is timed once.
"""

from __future__ import annotations

import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from chainlift.learning import next_token
from chainlift.learning.objective import sequence_weights
from chainlift.learning.optimizer import apply_gradients, make_optimizer
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.rollout import Rollout
from chainlift.measure.evaluate import ROWS_AT_ONCE
from chainlift.models import families
from chainlift.models.model import Model
from chainlift.models.protocol import split_prompts
from chainlift.runs import environment
from chainlift.seeding import stream
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.recipe import Recipe
from chainlift.stages.task import task_of
from chainlift.tasks import mixture
from chainlift.tasks.base import Task, has_chains, output_mask

MAX_PROMPTS = 32
REPEATS = 3  # after one that is not counted
SAFE_RATES = {"lr": 1e-6, "muon_lr": 1e-6}  # nothing diverges, and the time does not depend on the rate

_TIMES: dict[str, Any] = {}


class Stopwatch:
    """Times single steps with a recipe's sizes."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.task: Task = task_of(recipe)
        content = recipe.model_dump(mode="json")
        self._sizes = {key: content[key] for key in ("task", "model", "mixture", "device", "dtype", "threads")}

    def next_token_update(self, stage: NextTokenPrediction) -> float:
        """Seconds of an update on a batch of demonstrations."""
        demonstrations = stage.mixture or self.recipe.mixture
        sizes = (stage.batch_size, stage.loss_weighting, stage.optimizer, demonstrations.model_dump())

        def measured() -> float:
            settings = stage.model_copy(update=SAFE_RATES)
            optimizer = make_optimizer(self._model, settings)

            def update(step: int) -> None:
                share = {"seed": 0, "name": "cost", "step": step, "share": step / (REPEATS + 1)}
                batch = mixture.draw(self.task, demonstrations, stage.batch_size, **share)
                next_token.accumulate_gradient(self._model, batch, stage.loss_weighting)
                apply_gradients(self._model, optimizer, settings, step, REPEATS + 1)

            return median_seconds(update)

        return self._once("next-token update", sizes, measured)

    def policy_round(self, stage: ReinforcementLearning) -> tuple[float, float]:
        """(seconds of a round's samples, seconds of an update on all of them)."""

        def measured() -> tuple[float, float]:
            prompts = min(stage.prompts, MAX_PROMPTS)
            rollout = self._gold_rollout(prompts, stage.group_size)
            scale = stage.prompts / prompts
            sampled = median_seconds(lambda step: self._decode(rollout)) * scale
            return sampled, median_seconds(lambda step: self._policy_update(rollout, stage)) * scale

        return self._once("policy round", (stage.prompts, stage.group_size, stage.algorithm), measured)

    def decoded_response(self) -> float:
        """Seconds of one response of an evaluation."""
        rows = min(ROWS_AT_ONCE, self.recipe.evaluate.during)
        return self._once("decoding", (rows,), lambda: median_seconds(self._decoding(rows)) / rows)

    def _decoding(self, rows: int) -> Callable[[int], None]:
        answers = self._gold_rollout(rows, 1)
        return lambda step: self._decode(answers)

    def _once(self, name: str, sizes: tuple[Any, ...], measured: Callable[[], Any]) -> Any:
        key = json.dumps([name, sizes, self._sizes, torch.get_num_threads()], sort_keys=True)
        if key not in _TIMES:
            with self._precision():
                _TIMES[key] = measured()
        return _TIMES[key]

    @functools.cached_property
    def _device(self) -> torch.device:
        return torch.device(environment.pick_device(self.recipe.device))

    @functools.cached_property
    def _model(self) -> Model:
        return families.build(self.recipe.model, self.task).fresh(stream(0, "model")).to(self._device)

    @contextmanager
    def _precision(self) -> Iterator[None]:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.dtype == "bfloat16"):
            yield

    def _gold_rollout(self, prompts: int, group_size: int) -> Rollout:
        """A rollout of gold responses, long if the task has long ones."""
        prompt_tokens = self.task.prompts(prompts, stream(0, "cost/prompts")).to(self._device)
        rows = torch.arange(prompts, device=self._device).repeat_interleave(group_size)
        responses = self.task.gold(prompt_tokens, long=has_chains(self.task))[rows]
        num_actions = output_mask(responses, self.task.vocabulary.eos).sum(dim=1)
        logp = torch.zeros(responses.shape, device=self._device)
        return Rollout(prompt_tokens, rows, responses, logp, num_actions, torch.zeros((), device=self._device))

    @torch.no_grad()
    def _decode(self, rollout: Rollout) -> None:
        """Decode the rollout's responses token by token."""
        prefix, last = split_prompts(rollout.prompts)
        decoder = self._model.decoder(self._model.prefill(prefix), rollout.responses.shape[1])
        decoder.spread(len(rollout.rows) // len(rollout.prompts))
        tokens = last[rollout.rows, 0]
        for column in rollout.responses.unbind(dim=1):
            decoder.step(tokens)
            tokens = column
        self.task.verify(rollout.row_prompts, rollout.responses)

    def _policy_update(self, rollout: Rollout, stage: ReinforcementLearning) -> None:
        """Compute the gradient of one update in which every row counts."""
        advantages = torch.ones(len(rollout.rows), device=rollout.rows.device)
        weights = sequence_weights(
            rollout.num_actions,
            stage.objective.aggregate,
            max_length=self.task.long_length + 1,
            counted=torch.ones_like(advantages, dtype=torch.bool),
        )
        # A group's gold responses are equal and would be scored once; those of a run differ.
        random = torch.randint(
            self.task.vocabulary.size, rollout.responses.shape, generator=stream(0, "cost/responses")
        )
        rollout = replace(rollout, responses=random.to(rollout.responses))
        batch = PolicyBatch(rollout, advantages, weights, on_policy=True)
        accumulate_gradient(self._model, batch, stage.objective, temperature=stage.temperature)
        self._model.zero_grad(set_to_none=True)


def median_seconds(action: Callable[[int], None]) -> float:
    """Median seconds of an action, after one call that is not counted."""
    action(0)
    seconds = []
    for step in range(REPEATS):
        started = time.perf_counter()
        action(step + 1)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
