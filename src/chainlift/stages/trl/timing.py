"""Estimated time of a language model's steps on this machine, per sequence, from a few timed steps.

Tokens are random, as many as the recipe's problems have on average. RL and evaluations are timed as if every response
were long, as they are in the end.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import torch

from chainlift.models.pretrained import loading
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.runs import environment
from chainlift.seeding import stream
from chainlift.stages.planning.timing import median_seconds
from chainlift.stages.recipe import Recipe
from chainlift.stages.trl.lengths import Lengths, mean_lengths
from chainlift.stages.trl.stage import TrlStage
from chainlift.text import task as text_tasks
from chainlift.text.templates import content

DECODED_ROWS = 64  # rows of the timed batch
TOKENIZER_PROBLEMS = 500  # that train a new model's tokenizer here

_SECONDS: dict[str, float] = {}


class TextStopwatch:
    """Times single steps with a recipe's sizes; times are remembered for recipes that differ only in rates or seeds."""

    def __init__(self, recipe: Recipe) -> None:
        """Timing a step raises ValueError if the recipe's model or data are missing."""
        assert isinstance(recipe.model, PretrainedSettings)
        self.recipe, self.settings = recipe, recipe.model
        self.task = text_tasks.of(recipe.task)
        whole = recipe.model_dump(mode="json")
        self._sizes = {key: whole[key] for key in ("task", "model", "device", "dtype", "threads")}

    def demonstration(self, stage: TrlStage) -> float:
        """Seconds of a demonstration's forward and backward pass."""
        p = (stage.mixture or self.recipe.mixture).mean
        mean = self.lengths.prompt + p * self.lengths.long + (1 - p) * self.lengths.short
        return self._training(stage, round(mean))

    def sampled_sequence(self, stage: TrlStage) -> float:
        """Seconds of a long response's forward and backward pass in RL."""
        return self._training(stage, round(self.lengths.prompt + self.lengths.long))

    def decoded_response(self) -> float:
        """Seconds of one long response, in a batch."""
        new = max(round(self.lengths.long), 1)

        def measured() -> float:
            model, tokenizer = self._model
            tokens = _tokens(len(tokenizer), DECODED_ROWS, round(self.lengths.prompt), model.device)

            def decode(step: int) -> None:
                model.generate(input_ids=tokens, do_sample=False, min_new_tokens=new, max_new_tokens=new)

            model.eval()
            with torch.no_grad():
                return median_seconds(decode) / DECODED_ROWS

        return self._once(["decoding", new], measured)

    def _training(self, stage: TrlStage, length: int) -> float:
        rows = stage.micro_batch_size

        def measured() -> float:
            model, tokenizer = self._model
            tokens = _tokens(len(tokenizer), rows, length, model.device)

            def update(step: int) -> None:
                model(input_ids=tokens, labels=tokens).loss.backward()
                model.zero_grad(set_to_none=True)

            model.train()
            return median_seconds(update) / rows

        return self._once(["training", rows, length], measured)

    def _once(self, name: list[Any], measured: Any) -> float:
        key = json.dumps([name, self._sizes], sort_keys=True)
        if key not in _SECONDS:
            device = environment.pick_device(self.recipe.device)
            with torch.autocast(device, torch.bfloat16, enabled=self.recipe.dtype == "bfloat16"):
                _SECONDS[key] = measured()
        return _SECONDS[key]

    @functools.cached_property
    def lengths(self) -> Lengths:
        """Mean tokens of the recipe's problems."""
        return mean_lengths(self.task, self.settings, self._problems)[0]

    @functools.cached_property
    def _problems(self) -> Any:
        return self.task.problems[0][:TOKENIZER_PROBLEMS]

    @functools.cached_property
    def _model(self) -> LanguageModel:
        task = self.task
        texts = [content(task.prompt(p)) + content(task.completion(p, long=True)) for p in self._problems]
        model, tokenizer = loading.load(self.settings, texts, seed=0)
        return LanguageModel(model.to(environment.pick_device(self.recipe.device)), tokenizer)


def _tokens(vocabulary: int, rows: int, length: int, device: Any) -> torch.Tensor:
    """Random tokens (rows, length)."""
    return torch.randint(vocabulary, (rows, max(length, 2)), generator=stream(0, "llm/timing")).to(device)
