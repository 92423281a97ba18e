"""What a language model does on held-out problems, greedy and sampled, under the names that small runs use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field

from chainlift.llm.generation import Response, longest_prompt, respond
from chainlift.llm.grade import Grader
from chainlift.llm.opening import opening_probabilities
from chainlift.llm.problem import Problem
from chainlift.llm.sampling_memory import rows_read
from chainlift.llm.templates import TemplateSettings, content, is_long, long_opening, prompt
from chainlift.measure.evaluate import describe
from chainlift.measure.statistics import pass_at_k, wilson
from chainlift.seeding import stream
from chainlift.settings import Settings
from chainlift.tasks.base import Verdict


class LlmEvaluateSettings(Settings):
    """How much is measured, and how often."""

    prompts: int = Field(default=512, ge=1)
    """Held-out problems at the beginning of RL and at the end of each stage, or all if there are fewer."""
    during: int = Field(default=128, ge=1)
    """Of an evaluation inside a stage."""
    every: int = Field(default=200, ge=1)
    """Updates of fine-tuning between two evaluations."""
    every_rounds: int = Field(default=10, ge=1)
    """Updates of RL between two evaluations."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest response."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the sampled half."""
    rows_at_once: int = Field(default=64, ge=1)
    """Prompts of a batch."""
    pass_at_k_prompts: int = Field(default=0, ge=0)
    """Problems for pass@k at the end of a stage; 0 leaves it out."""
    pass_at_k_samples: int = Field(default=8, ge=1)
    """Samples of each."""


OPENED = ("n", "accuracy", "accuracy_ci95", "length_median", "length_mean", "long_share", "unfinished_share")


@dataclass(frozen=True)
class Judged:
    """A response with its verdict."""

    problem: Problem
    response: Response
    is_right: bool
    """Finished, and its answer is the right one."""
    is_long: bool

    @property
    def is_finished(self) -> bool:
        """There was an end of sequence."""
        return self.response.finished


@dataclass(frozen=True)
class Examinee:
    """A model that answers problems, and the rules by which its answers are judged."""

    model: Any
    tokenizer: Any
    grader: Grader
    template: TemplateSettings
    bfloat16: bool = False
    """Autocast of the matrix products."""
    sampling_gib: float = 8.0
    """Memory that the cache and the logits of a batch may take."""
    check: Callable[[], None] = lambda: None
    """Called between batches; what it raises ends the work."""

    def answer(
        self,
        problems: Sequence[Problem],
        *,
        max_tokens: int,
        temperature: float | None,
        seed: int,
        name: str,
        rows_at_once: int,
        opening: str = "",
    ) -> list[Judged]:
        """A judged response to each problem: greedy without a temperature, else sampled from the stream `name`.

        opening: with what every response is made to begin; only plain templates have that.
        """
        asked = [prompt(one, self.template) for one in problems]
        responses = respond(
            self.model,
            self.tokenizer,
            [f"{one}{opening}" for one in asked] if opening else asked,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            name=name,
            rows_at_once=rows_at_once,
            gib=self.sampling_gib,
            bfloat16=self.bfloat16,
            check=self.check,
        )
        return judge(problems, responses, self.grader, self.template)


def judge(
    problems: Sequence[Problem], responses: Sequence[Response], grader: Grader, template: TemplateSettings
) -> list[Judged]:
    """Verdicts on responses, one for each problem; what was cut off is wrong."""
    grades = grader.grade_all([one.text for one in responses], [one.answer for one in problems])
    return [
        Judged(problem, response, grade.is_right and response.finished, is_long(response.text, template))
        for problem, response, grade in zip(problems, responses, grades, strict=True)
    ]


def measure(
    examinee: Examinee,
    problems: Sequence[Problem],
    settings: LlmEvaluateSettings,
    *,
    num_problems: int,
    seed: int,
    name: str,
    step: int,
    with_more: bool = False,
) -> tuple[dict[str, Any], dict[str, list[Judged]]]:
    """({greedy, sampled, grader}, the judged responses of each) on problems drawn by the stream `name` at `step`.

    with_more: pass@k if the settings ask for it, and where long forms have an opening of their own its probability as
    `opening`, and as `opened` greedy responses that are made to begin with it: what the model can do if it is not asked
    to choose.
    """
    chosen = draw(problems, num_problems, seed=seed, name=f"{name}/prompts", step=step)
    examinee.grader.counts()  # what was graded before is no part of this
    table: dict[str, Any] = {}
    found: dict[str, list[Judged]] = {}
    for mode, temperature in (("greedy", None), ("sampled", settings.temperature)):
        found[mode] = examinee.answer(
            chosen,
            max_tokens=settings.max_tokens,
            temperature=temperature,
            seed=seed,
            name=f"{name}/samples/{step}",
            rows_at_once=settings.rows_at_once,
        )
        table[mode] = table_of(found[mode])
    table["sampled"]["temperature"] = settings.temperature
    if with_more and settings.pass_at_k_prompts:
        table["sampled"] |= _pass_at_k(examinee, problems, settings, seed=seed, name=name, step=step)
    opening = long_opening(examinee.template)
    if with_more and opening:
        judged = examinee.answer(
            chosen,
            max_tokens=settings.max_tokens,
            temperature=None,
            seed=seed,
            name=name,
            rows_at_once=settings.rows_at_once,
            opening=opening,
        )
        table["opened"] = {key: value for key, value in table_of(judged).items() if key in OPENED}
        table["opening"] = _opening(examinee, chosen, opening, settings)
    table["grader"] = examinee.grader.counts()
    return table, found


def _opening(
    examinee: Examinee, problems: Sequence[Problem], opening: str, settings: LlmEvaluateSettings
) -> dict[str, Any]:
    """{n, probability, probability_sd, temperature}: mean and standard deviation over the problems."""
    examinee.check()
    asked = [content(prompt(one, examinee.template)) for one in problems]
    tokens = longest_prompt([f"{one}{opening}" for one in asked], examinee.tokenizer)
    found = opening_probabilities(
        examinee.model,
        examinee.tokenizer,
        asked,
        opening,
        temperature=settings.temperature,
        rows_at_once=min(settings.rows_at_once, rows_read(examinee.model.config, tokens, examinee.sampling_gib)),
        bfloat16=examinee.bfloat16,
    )
    spread = float(np.std(found, ddof=1)) if len(found) > 1 else 0.0
    return {
        "n": len(found),
        "probability": float(np.mean(found)),
        "probability_sd": spread,
        "temperature": settings.temperature,
    }


def draw(problems: Sequence[Problem], count: int, *, seed: int, name: str, step: int) -> list[Problem]:
    """`count` different problems of the stream `name`, all of them if there are fewer."""
    order = torch.randperm(len(problems), generator=stream(seed, name, step))[:count]
    return [problems[i] for i in order.tolist()]


def table_of(judged: Sequence[Judged]) -> dict[str, Any]:
    """The measured quantities, as small runs name them; chain_exactness is the share of long ones that are right.

    Beside them accuracy of each form, and length and long share of the right and of the wrong.
    """
    right, long, finished = (
        torch.tensor([getattr(one, key) for one in judged]) for key in ("is_right", "is_long", "is_finished")
    )
    length = torch.tensor([one.response.length for one in judged])
    zeros = torch.zeros_like(length)
    table = describe([Verdict(right, right, finished, long, length, zeros, zeros)])
    for name, of in (("long", long), ("short", ~long)):
        count, n = int(right[of].sum()), int(of.sum())
        table[f"{name}_accuracy"] = count / n if n else None
        table[f"{name}_accuracy_ci95"] = list(wilson(count, n)) if n else None
    for name, of in (("right", right), ("wrong", ~right)):
        table[f"length_mean_{name}"] = float(length[of].float().mean()) if of.any() else None
        table[f"long_share_{name}"] = float(long[of].float().mean()) if of.any() else None
    return table


def _pass_at_k(
    examinee: Examinee,
    problems: Sequence[Problem],
    settings: LlmEvaluateSettings,
    *,
    seed: int,
    name: str,
    step: int,
) -> dict[str, Any]:
    """{pass_at_k, pass_at_k_n, pass_at_k_prompts} by the unbiased estimate."""
    samples = settings.pass_at_k_samples
    chosen = draw(problems, settings.pass_at_k_prompts, seed=seed, name=f"{name}/pass-at-k", step=step)
    judged = examinee.answer(
        [one for one in chosen for _ in range(samples)],
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=seed,
        name=f"{name}/pass-at-k/{step}",
        rows_at_once=settings.rows_at_once,
    )
    right = np.array([one.is_right for one in judged]).reshape(len(chosen), samples)
    ks = [2**i for i in range(samples.bit_length()) if 2**i <= samples]
    found = pass_at_k(right.sum(axis=1), samples, ks)
    return {
        "pass_at_k": {str(k): value for k, value in found.items()},
        "pass_at_k_n": samples,
        "pass_at_k_prompts": len(chosen),
    }
