"""What every stage of a language model's run is given, and the way it measures and records."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from chainlift import processes
from chainlift.llm import graders, models, rounding, sources
from chainlift.llm.grade import Grader
from chainlift.llm.measuring import Examinee, Judged, measure
from chainlift.llm.problem import Problem, Splits
from chainlift.llm.recipe import LlmRecipe
from chainlift.llm.templates import completion, content, prompt
from chainlift.report.terminal import Reporter
from chainlift.runs.checkpoint import TrainerState
from chainlift.runs.store import RunFolder
from chainlift.stages.failures import Interrupted

SHOWN_RESPONSES = 8  # kept in rollouts.jsonl of each mode and occasion
VOCABULARY_PROBLEMS = 4000  # from which the tokenizer of a model from scratch is made


@dataclass
class LlmContext:
    """A recipe about to run: its data, grader, folder and reporter."""

    recipe: LlmRecipe
    folder: RunFolder
    reporter: Reporter
    device: str
    stop: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def problems(self) -> Splits:
        """Training and test problems."""
        return sources.source(self.recipe.data)

    @cached_property
    def grader(self) -> Grader:
        """The judge of answers."""
        return graders.grader(self.recipe.grader, self.recipe.template.answer_mark)

    @contextmanager
    def grading(self) -> Iterator[None]:
        """Close the grader at the end."""
        try:
            yield
        finally:
            self.grader.close()

    def stop_if_asked(self) -> None:
        """Raise Interrupted in all processes if any of them was asked to stop."""
        if processes.any_of_all(self.stop.is_set()):
            raise Interrupted

    def rewind(self, lengths: dict[str, int]) -> None:
        """Cut the folder's appended files back to `lengths`."""
        if processes.is_first():
            self.folder.rewind(lengths)
        processes.wait_for_all()

    def new_model(self) -> tuple[Any, Any]:
        """(model, tokenizer) as stage 1 begins with them."""
        return models.load(self.recipe.model, self._texts(), seed=self.recipe.seed)

    def check_rounding(self, model: Any, lr: float, key: str) -> None:
        """Say it, or refuse, where bfloat16 weights are too coarse for a rate; adapters are float32 in any case."""
        if self.recipe.model.weights == "bfloat16" and self.recipe.model.lora is None:
            rounding.check(model, lr, key, self.reporter.say)

    def examinee(self, model: Any, tokenizer: Any) -> Examinee:
        """A model under the recipe's rules."""
        recipe = self.recipe
        return Examinee(
            model,
            tokenizer,
            self.grader,
            recipe.template,
            bfloat16=recipe.dtype == "bfloat16",
            sampling_gib=recipe.sampling_gib,
            check=self.stop_if_asked,
        )

    def _texts(self) -> Iterator[str]:
        """Demonstrations of both forms, for the tokenizer of a model from scratch."""
        template = self.recipe.template
        for problem in islice(self.problems[0], VOCABULARY_PROBLEMS):
            for long in (False, True):
                yield content(prompt(problem, template)) + content(completion(problem, template, long=long))

    def record(self, state: TrainerState, kind: str, metrics: dict[str, Any]) -> dict[str, Any]:
        """The row just appended to metrics.jsonl."""
        row = state.row(kind, metrics)
        if processes.is_first():
            self.folder.append("metrics.jsonl", [row])
        return row

    def measured(
        self, state: TrainerState, model: Any, tokenizer: Any, *, final: bool, show: bool
    ) -> dict[str, list[dict[str, Any]]]:
        """What a measurement on held-out problems is to append to each file, not recorded.

        That is its row of metrics.jsonl, and with `show`, which takes the full number of problems, a few responses.
        """
        settings = self.recipe.evaluate
        table, found = measure(
            self.examinee(model, tokenizer),
            self.problems[1],
            settings,
            num_problems=settings.prompts if show else settings.during,
            seed=self.recipe.seed,
            name=f"llm/{state.stage}/evaluate",
            step=state.step,
            with_more=final,
        )
        shown = found if show else {}
        responses = [row for mode, judged in shown.items() for row in _shown(state, "evaluation", mode, judged)]
        return {"metrics.jsonl": [state.row("evaluation", {"final": final, **table})], "rollouts.jsonl": responses}

    def evaluate(self, state: TrainerState, model: Any, tokenizer: Any, *, final: bool, show: bool) -> None:
        """Measure a model on held-out problems and record it; `show` takes the full number of them."""
        found = self.measured(state, model, tokenizer, final=final, show=show)
        if processes.is_first():
            for file, rows in found.items():
                self.folder.append(file, rows)
        self.reporter.evaluation(found["metrics.jsonl"][0])

    def record_responses(
        self, state: TrainerState, kind: str, mode: str, judged: Sequence[Judged], rewards: Sequence[float] = ()
    ) -> None:
        """Append the first responses to rollouts.jsonl."""
        if processes.is_first():
            self.folder.append("rollouts.jsonl", _shown(state, kind, mode, judged, rewards))


def _shown(
    state: TrainerState, kind: str, mode: str, judged: Sequence[Judged], rewards: Sequence[float] = ()
) -> list[dict[str, Any]]:
    """The rows of rollouts.jsonl of the first responses."""
    where = {"stage": state.stage, "step": state.step, "kind": kind, "mode": mode}
    rows = []
    for number, one in enumerate(judged[:SHOWN_RESPONSES]):
        reward = {"reward": rewards[number]} if rewards else {}
        rows.append(where | _told(one.problem, one) | reward)
    return rows


def _told(problem: Problem, one: Judged) -> dict[str, Any]:
    """A response for rollouts.jsonl, under the names that reports read."""
    response = one.response
    return {
        "prompt": problem.question,
        "response": response.tokens,
        "probabilities": [round(value, 6) for value in response.probabilities],
        "token_right": [one.is_right] * len(response.tokens),
        "length": response.length,
        "finished": response.finished,
        "answer": one.is_right,
        "long": one.is_long,
        "expected": problem.answer,
    }
