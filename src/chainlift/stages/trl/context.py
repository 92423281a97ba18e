"""The context of stages on language models: a text task, its models, their checkpoints and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from chainlift.measure.text import Evaluator, GradedResponse, draw, measure
from chainlift.models.pretrained import loading, rounding
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.runs.checkpoint import TrainerState
from chainlift.stages.run_context import SHOWN_RESPONSES, RunContext
from chainlift.stages.stage import Place
from chainlift.text import task as text_tasks
from chainlift.text.grading.grade import Grader
from chainlift.text.task import TextTask
from chainlift.text.tokenizer import texts_of


@dataclass
class TextContext(RunContext):
    """A text recipe's run: its problems, grader, folder and reporter."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.task: TextTask = text_tasks.of(self.recipe.task)

    @cached_property
    def grader(self) -> Grader:
        """The grader of answers."""
        return self.task.new_grader()

    def close(self) -> None:
        """End the grader's workers."""
        if "grader" in vars(self):
            self.grader.close()

    @property
    def settings(self) -> PretrainedSettings:
        """The model's settings."""
        assert isinstance(self.recipe.model, PretrainedSettings)
        return self.recipe.model

    def new_model(self) -> LanguageModel:
        """The recipe's model before any stage, on the CPU."""
        return loading.load(self.settings, texts_of(self.task), seed=self.recipe.seed)

    def start(self, place: Place) -> LanguageModel:
        """The model that a stage starts from, on the CPU; ValueError names the stage if it cannot be opened."""
        if place.start is None:
            return self.new_model()
        try:
            return self._open(place.start)
        except ValueError as error:
            raise ValueError(f"{place.name}.start: {error}") from error

    def load_checkpoint(self, folder: Path) -> LanguageModel:
        """The model of a checkpoint, on the device."""
        model, tokenizer = self._open(folder)
        return LanguageModel(model.to(self.device), tokenizer)

    def _open(self, folder: Path) -> LanguageModel:
        if (folder / "adapter_config.json").exists():
            raise ValueError(f"{folder} holds adapters only; nothing can start from them")
        try:
            return loading.open_folder(str(folder), weights=self.settings.weights)
        except ValueError as error:
            raise ValueError(str(error).removeprefix("model.path: ")) from error

    def check_rounding(self, model: Any, lr: float, key: str) -> None:
        """Warn, or raise ValueError, if bfloat16 weights are too coarse for a rate; adapters are always float32."""
        if self.settings.weights == "bfloat16" and self.settings.lora is None:
            rounding.check(model, lr, key, self.reporter.say)

    def evaluator(self, model: LanguageModel) -> Evaluator:
        """An evaluator of a model by the recipe's settings."""
        return Evaluator(
            model,
            self.task,
            self.grader,
            batch_rows=self.settings.sampling_rows,
            gib=self.settings.sampling_gib,
            bfloat16=self.recipe.dtype == "bfloat16",
            check=self.stop_if_asked,
        )

    def measured(
        self, state: TrainerState, model: LanguageModel, *, final: bool, show: bool
    ) -> dict[str, list[dict[str, Any]]]:
        """Measure the model; returns unrecorded rows for metrics.jsonl and, with `show`, for rollouts.jsonl."""
        settings, evaluator = self.recipe.evaluate, self.evaluator(model)
        table = measure(
            evaluator,
            self.task.problems[1],
            settings,
            num_problems=settings.prompts if show else settings.during,
            seed=self.recipe.seed,
            name=f"llm/{state.stage}/evaluate",
            step=state.step,
            with_more=final,
        )
        row = state.row("evaluation", {"final": final, **table})
        return {"metrics.jsonl": [row], "rollouts.jsonl": self._shown(state, evaluator) if show else []}

    def _shown(self, state: TrainerState, evaluator: Evaluator) -> list[dict[str, Any]]:
        """Greedy and sampled responses to a few problems, as rows of rollouts.jsonl."""
        seed = self.recipe.seed
        problems = draw(self.task.problems[1], SHOWN_RESPONSES, seed=seed, name="llm/shown/prompts", step=0)
        records = []
        for mode, temperature in (("greedy", None), ("sampled", 1.0)):
            where = {"stage": state.stage, "step": state.step, "kind": "evaluation", "mode": mode}
            responses = evaluator.answer(problems, temperature=temperature, seed=seed, name="llm/shown/samples")
            records += [where | record(graded) for graded in responses]
        return records


def record(graded: GradedResponse) -> dict[str, Any]:
    """The row of rollouts.jsonl for a response, under the names that pages read."""
    response = graded.response
    return {
        "prompt": graded.problem.question,
        "response": response.tokens,
        "probabilities": [round(value, 6) for value in response.probabilities],
        "token_right": [graded.is_right] * len(response.tokens),
        "length": response.length,
        "finished": response.finished,
        "answer": graded.is_right,
        "long": graded.is_long,
        "expected": graded.problem.answer,
    }
