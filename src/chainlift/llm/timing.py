"""How long a language model's run would take on this machine: a few of its own steps, timed, and their numbers.

Tokens are random, as many as the recipe's problems have on average. RL and evaluations are timed as if every response
were long, which is what they come to.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import torch

from chainlift.llm import models, sources
from chainlift.llm import recipe as recipes
from chainlift.llm.lengths import Lengths, mean_lengths
from chainlift.llm.recipe import LlmRecipe
from chainlift.llm.templates import completion, content, prompt
from chainlift.runs import environment
from chainlift.seeding import stream
from chainlift.stages.cost import Cost
from chainlift.stages.timing import median_seconds

MOST_DECODED = 64  # rows of the timed batch
SAMPLE = 500  # problems that a new model's tokenizer is made from here


def estimate(recipe: LlmRecipe) -> Cost:
    """The cost of a run on this machine; takes a few updates of each stage. ValueError where its model is not here.

    What was timed is remembered for recipes that differ in rates or seeds alone.
    """
    units = _units(_sizes(recipe))
    tune, asked, rl = recipe.finetune, recipe.evaluate, recipe.posttrain
    stages = 1 if rl is None else 2
    measured = (tune.steps // asked.every + 1) * asked.during + asked.prompts
    seconds = 0.0
    if rl is not None:
        measured += (rl.updates // asked.every_rounds) * asked.during + 2 * asked.prompts
        rows = rl.rollouts // (rl.updates_per_round if rl.algorithm == "star" else 1)
        seconds = rl.rounds * rl.rollouts * units.decoded + rl.updates * rows * units.reinforced
    decoded = 2 * measured + stages * asked.pass_at_k_prompts * asked.pass_at_k_samples
    spent = {"pretrain": tune.steps * tune.batch_size * units.tuned} | ({} if rl is None else {"posttrain": seconds})
    return Cost(spent, decoded * units.decoded)


@dataclass(frozen=True)
class _Units:
    """Seconds a sequence: of fine-tuning, of decoding a long response, of an RL update on one."""

    tuned: float
    decoded: float
    reinforced: float


def _sizes(recipe: LlmRecipe) -> str:
    """What in a recipe the time of its steps depends on, as JSON of a recipe."""
    content = recipe.model_dump(mode="json")
    kept = {key: content[key] for key in ("data", "template", "mixture", "model", "device", "dtype", "threads")}
    kept["finetune"] = {key: content["finetune"][key] for key in ("rows_at_once", "batch_size", "max_length")}
    return json.dumps(kept, sort_keys=True)


@functools.cache
def _units(sizes: str) -> _Units:
    recipe = recipes.build(json.loads(sizes))
    device = torch.device(environment.pick_device(recipe.device))
    problems = sources.source(recipe.data)[0][:SAMPLE]
    lengths, _ = mean_lengths(recipe, problems)
    texts = [
        content(prompt(one, recipe.template)) + content(completion(one, recipe.template, long=True)) for one in problems
    ]
    model, tokenizer = models.load(recipe.model, texts, seed=0)
    model.to(device)
    rows = min(recipe.finetune.rows_at_once, recipe.finetune.batch_size)
    p = recipe.mixture.p_cot
    mean = lengths.prompt + p * lengths.long + (1 - p) * lengths.short
    whole = lengths.prompt + lengths.long
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.dtype == "bfloat16"):
        tuned = _training(model, len(tokenizer), rows, round(mean)) / rows
        reinforced = _training(model, len(tokenizer), rows, round(whole)) / rows
        decoded = _decoding(model, len(tokenizer), lengths)
    return _Units(tuned, decoded, reinforced)


def _tokens(vocabulary: int, rows: int, length: int, device: Any) -> torch.Tensor:
    """Random tokens (rows, length)."""
    return torch.randint(vocabulary, (rows, max(length, 2)), generator=stream(0, "llm/timing")).to(device)


def _training(model: Any, vocabulary: int, rows: int, length: int) -> float:
    """Seconds of a forward and backward pass."""
    ids = _tokens(vocabulary, rows, length, model.device)

    def update(step: int) -> None:
        model(input_ids=ids, labels=ids).loss.backward()
        model.zero_grad(set_to_none=True)

    model.train()
    return median_seconds(update)


def _decoding(model: Any, vocabulary: int, lengths: Lengths) -> float:
    """Seconds a response of the long form's length takes in a batch."""
    ids = _tokens(vocabulary, MOST_DECODED, round(lengths.prompt), model.device)
    new = max(round(lengths.long), 1)

    def decode(step: int) -> None:
        model.generate(input_ids=ids, do_sample=False, min_new_tokens=new, max_new_tokens=new)

    model.eval()
    with torch.no_grad():
        return median_seconds(decode) / MOST_DECODED
