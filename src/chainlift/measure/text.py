"""Evaluation of a language model on problems, greedy and sampled, under the names that tasks of symbols use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from chainlift import distributed
from chainlift.learning import advantage
from chainlift.measure.evaluate import EvaluateSettings, describe
from chainlift.measure.forms import FORCED_LONG_KEYS, by_form, describe_probability
from chainlift.measure.statistics import pass_at_k
from chainlift.models.pretrained.generation import Response, longest_prompt, respond
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.models.pretrained.long_prefix import long_prefix_probabilities
from chainlift.models.pretrained.sampling_memory import scoring_rows
from chainlift.seeding import stream
from chainlift.tasks.base import Verdict
from chainlift.text.grading.grade import Grader
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask
from chainlift.text.templates import content, is_long, long_prefix
from chainlift.text.verdict import as_verdict


@dataclass(frozen=True)
class GradedResponse:
    """A response to a problem with its verdict."""

    problem: Problem
    response: Response
    is_right: bool
    """Whether the response is finished and its answer is right."""
    is_long: bool

    @property
    def is_finished(self) -> bool:
        """Whether the response has an end of sequence."""
        return self.response.finished


@dataclass(frozen=True)
class Evaluator:
    """A language model with a task of text and the grader of its answers."""

    model: LanguageModel
    task: TextTask
    grader: Grader
    batch_rows: int = 64
    """Most responses sampled at once."""
    gib: float = 8.0
    """Memory (GiB) that the cache and the logits of a batch may take."""
    bfloat16: bool = False
    """Whether matrix products use bfloat16 (autocast)."""
    check: Callable[[], None] = lambda: None
    """Called between batches; it may raise to end the work."""

    def answer(
        self,
        problems: Sequence[Problem],
        *,
        temperature: float | None,
        seed: int,
        name: str,
        opening: str = "",
    ) -> list[GradedResponse]:
        """A graded response to each problem: greedy without a temperature, else sampled from the stream `name`.

        opening: a forced beginning of every response; only plain templates allow one.
        """
        prompts = [self.task.prompt(problem) for problem in problems]
        responses = respond(
            self.model.model,
            self.model.tokenizer,
            [f"{prompt}{opening}" for prompt in prompts] if opening else prompts,
            max_tokens=self.task.settings.max_tokens,
            temperature=temperature,
            seed=seed,
            name=name,
            batch_rows=self.batch_rows,
            gib=self.gib,
            bfloat16=self.bfloat16,
            check=self.check,
        )
        # One process grades for all: a comparison may exceed its time limit in one process and not in another.
        texts, answers = [response.text for response in responses], [problem.answer for problem in problems]
        grades = distributed.run_on_rank0(lambda: self.grader.grade_all(texts, answers))
        template = self.task.settings.template
        return [
            GradedResponse(problem, response, grade.is_right and response.finished, is_long(response.text, template))
            for problem, response, grade in zip(problems, responses, grades, strict=True)
        ]


def measure(
    evaluator: Evaluator,
    problems: Sequence[Problem],
    settings: EvaluateSettings,
    *,
    num_problems: int,
    seed: int,
    name: str,
    step: int,
    temperature: float = 1.0,
    with_more: bool = False,
) -> dict[str, Any]:
    """{greedy, sampled, grader} on problems drawn by the stream `name` at `step`.

    with_more: adds pass@k if the settings request it. If all long forms begin with a text of their own, it also adds
    that text's probability (`opening`) and greedy responses that are forced to begin with it (`forced_long`). These
    show what the model can do once the choice of form is made for it.
    """
    chosen = draw(problems, num_problems, seed=seed, name=f"{name}/prompts", step=step)
    evaluator.grader.counts()  # drop the counts of earlier gradings
    table: dict[str, Any] = {}
    for mode, chosen_temperature in (("greedy", None), ("sampled", temperature)):
        responses = evaluator.answer(chosen, temperature=chosen_temperature, seed=seed, name=f"{name}/samples/{step}")
        table[mode] = table_of(responses)
    table["sampled"]["temperature"] = temperature
    if with_more and settings.pass_at_k_prompts:
        drawn_problems = draw(problems, settings.pass_at_k_prompts, seed=seed, name=f"{name}/pass-at-k", step=step)
        samples = settings.pass_at_k_samples
        table["sampled"] |= _pass_at_k(
            evaluator, drawn_problems, samples, temperature=temperature, seed=seed, name=f"{name}/pass-at-k/{step}"
        )
    opening = long_prefix(evaluator.task.settings.template)
    if with_more and opening:
        forced = evaluator.answer(chosen, temperature=None, seed=seed, name=name, opening=opening)
        table["forced_long"] = {key: value for key, value in table_of(forced).items() if key in FORCED_LONG_KEYS}
        table["long_prefix"] = _opening(evaluator, chosen, opening, temperature)
    table["grader"] = evaluator.grader.counts()
    return table


def draw(problems: Sequence[Problem], count: int, *, seed: int, name: str, step: int) -> list[Problem]:
    """Draw `count` different problems from the stream `name`, or all of them if there are fewer."""
    order = torch.randperm(len(problems), generator=stream(seed, name, step))[:count]
    return [problems[i] for i in order.tolist()]


def verdict_of(responses: Sequence[GradedResponse]) -> Verdict:
    """The verdict (N,) on responses, for rewards and tables."""
    return as_verdict(
        [graded.is_right for graded in responses],
        [graded.is_long for graded in responses],
        [graded.is_finished for graded in responses],
        [graded.response.length for graded in responses],
    )


def round_metrics(verdict: Verdict, rewards: torch.Tensor, group_size: int) -> dict[str, float]:
    """Means over samples, and shares of groups that are all right, all wrong, or mixed.

    rewards: (N,) before any shaping; the samples of a problem are adjacent.
    """
    return {
        "long_share": float(verdict.long.double().mean()),
        "length_mean": float(verdict.length.double().mean()),
        "unfinished_share": 1 - float(verdict.finished.double().mean()),
        **advantage.signal(rewards.view(-1, group_size)),
    }


def table_of(responses: Sequence[GradedResponse]) -> dict[str, Any]:
    """Measured quantities of graded responses, under the names that tasks of symbols use (evaluate.describe).

    `chain_exactness` is the share of long responses that are right. Further keys hold the accuracy of each form, and
    the length and long share of right and of wrong responses.
    """
    verdict = verdict_of(responses)
    return describe([verdict]) | by_form(verdict)


def _opening(evaluator: Evaluator, problems: Sequence[Problem], opening: str, temperature: float) -> dict[str, Any]:
    """{n, probability, probability_sd, temperature} of an opening: mean and standard deviation over the problems."""
    evaluator.check()
    model, tokenizer = evaluator.model
    prompts = [content(evaluator.task.prompt(problem)) for problem in problems]
    tokens = longest_prompt([f"{prompt}{opening}" for prompt in prompts], tokenizer)
    probabilities = long_prefix_probabilities(
        model,
        tokenizer,
        prompts,
        opening,
        temperature=temperature,
        batch_rows=min(evaluator.batch_rows, scoring_rows(model.config, tokens, evaluator.gib)),
        bfloat16=evaluator.bfloat16,
    )
    return describe_probability(torch.tensor(probabilities, dtype=torch.float64), temperature)


def _pass_at_k(
    evaluator: Evaluator, problems: Sequence[Problem], samples: int, *, temperature: float, seed: int, name: str
) -> dict[str, Any]:
    """{pass_at_k, pass_at_k_n, pass_at_k_prompts}, by the unbiased estimate."""
    repeated = [problem for problem in problems for _ in range(samples)]
    responses = evaluator.answer(repeated, temperature=temperature, seed=seed, name=name)
    right = np.array([graded.is_right for graded in responses]).reshape(len(problems), samples)
    ks = [2**i for i in range(samples.bit_length()) if 2**i <= samples]
    estimates = pass_at_k(right.sum(axis=1), samples, ks)
    return {
        "pass_at_k": {str(k): value for k, value in estimates.items()},
        "pass_at_k_n": samples,
        "pass_at_k_prompts": len(problems),
    }
