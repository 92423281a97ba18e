"""Inspection of a language model, from a run or any folder of transformers, on a recipe's problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from chainlift import distributed
from chainlift.measure.text import Evaluator, measure
from chainlift.models.pretrained import loading
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.runs import environment
from chainlift.seeding import stream
from chainlift.stages.recipe import Recipe
from chainlift.stages.trl.context import record
from chainlift.text import task as text_tasks
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask

SPLITS = ("train", "test")


def load(where: str, recipe: Recipe) -> LanguageModel:
    """The model of a folder, or of any value of `model.path`, on the best device."""
    settings = recipe.model
    assert isinstance(settings, PretrainedSettings)
    loading.require_llm_extra()
    gguf_file = None if Path(where).is_dir() else settings.gguf_file
    if where.startswith((".", "/", "~")) and not Path(where).exists():
        raise ValueError(f"there is no folder {where}")
    model, tokenizer = loading.open_folder(where, gguf_file, download=settings.download, weights=settings.weights)
    return LanguageModel(model.to(environment.local_device(recipe.device)), tokenizer)


def evaluate(
    where: str,
    recipe: Recipe,
    *,
    prompts: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    split: str = "test",
    pass_at_k: int | None = None,
) -> dict[str, Any]:
    """Measure a model on problems drawn by streams of `seed` that no run uses: {greedy, sampled, grader, ...}.

    prompts: how many, or all if there are fewer; None: as in the recipe. pass_at_k: samples of each problem.
    """
    if split not in SPLITS:
        raise ValueError(f"--split: {split!r} is neither {' nor '.join(reversed(SPLITS))}")
    distributed.join(_device(recipe))
    task = text_tasks.of(recipe.task)
    problems = task.problems[SPLITS.index(split)]
    count = recipe.evaluate.prompts if prompts is None else prompts
    pass_at_k_settings = {"pass_at_k_prompts": count if pass_at_k else 0, "pass_at_k_samples": pass_at_k or 1}
    evaluator = _evaluator(where, recipe, task)
    try:
        table = measure(
            evaluator,
            problems,
            recipe.evaluate.model_copy(update=pass_at_k_settings),
            num_problems=count,
            seed=seed,
            name=f"llm/inspect/{split}",
            step=0,
            temperature=temperature,
            with_more=True,
        )
    finally:
        evaluator.grader.close()
    return {"checkpoint": where, **table}


def sample(
    where: str,
    recipe: Recipe,
    question: str | None,
    *,
    greedy: bool,
    count: int,
    temperature: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Sample `count` responses (1 if greedy) to a question, or to a random test problem, for which they are graded."""
    distributed.join(_device(recipe))
    task = text_tasks.of(recipe.task)
    evaluator = _evaluator(where, recipe, task)
    try:
        responses = evaluator.answer(
            [_problem(task, question, seed)] * (1 if greedy else count),
            temperature=None if greedy else temperature,
            seed=seed,
            name="llm/sample-command",
        )
    finally:
        evaluator.grader.close()
    records = [record(graded) | {"text": graded.response.text} for graded in responses]
    if question is None:
        return records
    ungraded = {"answer": None, "expected": None}
    return [row | ungraded | {"token_right": [None] * len(row["response"])} for row in records]


def _problem(task: TextTask, question: str | None, seed: int) -> Problem:
    if question is not None:
        return Problem(question, "-", "0")  # any number that graders read: the grade is not shown
    problems = task.problems[1]
    draws = stream(seed, "sample-command/prompt")
    return problems[int(torch.randint(len(problems), (), generator=draws))]


def _device(recipe: Recipe) -> torch.device:
    return torch.device(environment.local_device(recipe.device))


def _evaluator(where: str, recipe: Recipe, task: TextTask) -> Evaluator:
    model, settings = load(where, recipe), recipe.model
    assert isinstance(settings, PretrainedSettings)
    return Evaluator(
        model,
        task,
        task.new_grader(),
        batch_rows=settings.sampling_rows,
        gib=settings.sampling_gib,
        bfloat16=recipe.dtype == "bfloat16",
    )
