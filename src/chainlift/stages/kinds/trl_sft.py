"""Supervised fine-tuning on the mixture of long and short completions, by TRL's SFTTrainer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from chainlift.measure.evaluate import EvaluateSettings
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.generation import num_tokens
from chainlift.settings import NOT_HASHED
from chainlift.stages.length import Length
from chainlift.stages.stage import Place
from chainlift.stages.trl.stage import TrlStage
from chainlift.stages.trl.work import NumTokens, Work
from chainlift.tasks import finite
from chainlift.tasks.base import Task
from chainlift.tasks.mixture import MixtureSettings
from chainlift.text import demonstrations
from chainlift.text.demonstrations import Row
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask
from chainlift.text.templates import content

if TYPE_CHECKING:
    from chainlift.stages.recipe import Recipe
    from chainlift.stages.trl.context import TextContext
    from chainlift.stages.trl.lengths import Lengths
    from chainlift.stages.trl.memory_plan import MemoryPlan, Phase
    from chainlift.stages.trl.recorder import Recorder
    from chainlift.stages.trl.timing import TextStopwatch

TOKENIZE_BATCH = 4096  # problems


class SupervisedFinetuning(TrlStage, Length):
    """Next-token prediction on worked solutions and bare answers, with the loss on completions only."""

    STEPS: ClassVar = 500
    IGNORES: ClassVar = {
        "task": frozenset({"grader", "max_tokens"}),
        "model": frozenset({"sampling_rows", "sampling_gib"}),
    }

    title: str = Field(default="fine-tuning", json_schema_extra=NOT_HASHED)
    unit: str = Field(default="demonstrations", json_schema_extra=NOT_HASHED)

    kind: str = "trl_sft"
    batch_size: int = Field(default=64, ge=1)
    """Demonstrations an update, over all devices."""
    max_length: int = Field(default=512, ge=8)
    """Tokens of prompt and completion; longer demonstrations are left out, and the run says how many."""
    redraw: bool = False
    """Whether a problem's form is drawn anew in every epoch, instead of once for all epochs."""

    @model_validator(mode="after")
    def _fits(self) -> SupervisedFinetuning:
        rows = min(self.micro_batch_size, self.batch_size)
        if self.batch_size % rows:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of micro_batch_size {rows}")
        return self

    def check(self, recipe: Recipe, task: Task | TextTask) -> None:
        """ValueError in one line if the recipe's task or model is not for this stage."""
        super().check(recipe, task)
        scratch = recipe.model.scratch if isinstance(recipe.model, PretrainedSettings) else None
        if scratch is not None and self.max_length > scratch.context:
            raise ValueError(f"max_length {self.max_length} is more than model.scratch.context {scratch.context}")

    def seconds(self, stopwatch: TextStopwatch) -> float | None:
        """Demonstrations times the time of one."""
        if self.total_steps is None:
            return None
        return self.total_steps * self.batch_size * stopwatch.demonstration(self)

    def num_evaluations(self, evaluate: EvaluateSettings) -> tuple[int, int]:
        """One at the start and every `evaluate.every` steps, and one at the end."""
        return (0 if self.total_steps is None else 1 + self.total_steps // evaluate.every), 1

    def num_tokens(self, lengths: Lengths, mixture: MixtureSettings, max_tokens: int) -> NumTokens:
        """Tokens of all demonstrations."""
        completion = mixture.mean * lengths.long + (1 - mixture.mean) * lengths.short
        return NumTokens(trained=(self.steps or 0) * self.batch_size * (lengths.prompt + completion))

    def work(self, tokens: NumTokens) -> list[Work]:
        """A pass forward and backward over every demonstration."""
        return [Work("", tokens.trained, 6)]

    def memory(self, name: str, plan: MemoryPlan) -> list[Phase]:
        """Memory of updates on the longest demonstrations, of max_length tokens."""
        return [plan.update(name, self, self.batch_size, self.max_length)]

    def train(self, context: TextContext, place: Place) -> None:
        """Train from the newest checkpoint to the end of the stage."""
        from chainlift.stages.trl import training
        from chainlift.stages.trl.recorder import Recorder

        training.arguments(context, place, batch_size=self.batch_size, steps=1)  # checks that sizes divide
        state, newest = training.begin(context, place)
        if state.finished:
            return
        model, tokenizer = context.start(place)
        context.check_rounding(model, self.lr, f"{place.name}.lr")
        rows = _rows(context, place, self, tokenizer)
        steps = len(rows) // self.batch_size
        recorder = Recorder(
            context,
            place,
            state,
            tokenizer,
            every=context.recipe.evaluate.every,
            sequences=self.batch_size,
            metrics=lambda logs: {"loss": logs["loss"], "grad_norm": logs["grad_norm"], "lr": logs["learning_rate"]},
            counts_restart=True,
        )
        with context.reporter.stage(place.title, state.step, steps):
            trainer = _trainer(context, place, self, model, rows, recorder)
            training.run(trainer, recorder, newest, steps)
            training.finish(context, place, recorder, trainer)


def _rows(context: TextContext, place: Place, stage: SupervisedFinetuning, tokenizer: Any) -> list[Row]:
    """Demonstrations of all updates, in order.

    Those that are longer than `max_length` are left out, and the run reports how many.
    """
    task, problems, size = context.task, context.task.problems[0], stage.batch_size
    counts, needed = _token_counts(task, problems, tokenizer), stage.needed_tokens(context.folder.checkpoints)
    rows: list[Row] = []
    tokens = left_out = left_out_in_a_row = 0
    shuffled = _shuffled(len(problems), seed=context.recipe.seed, stage=place.name, redraw=stage.redraw)
    for index, uniform in shuffled:
        in_updates = len(rows) // size * size
        done = tokens / needed if needed else in_updates / ((stage.steps or 1) * size)
        if done >= 1 and len(rows) == in_updates:
            break
        if left_out_in_a_row == 2 * len(problems):  # two epochs: every problem was tried since the last that fitted
            raise ValueError(
                f"{place.name}.max_length: no demonstration has {stage.max_length} tokens or fewer ({done:.0%} done)"
            )
        long = uniform < place.mixture.at(min(done, 1.0))
        if counts[index][long] <= stage.max_length:
            rows.append(demonstrations.row(task, problems[index], long=long))
            tokens += counts[index][long]
            left_out_in_a_row = 0
        else:
            left_out += 1
            left_out_in_a_row += 1
    if left_out:
        context.reporter.say(
            f"{left_out} of {len(rows) + left_out} demonstrations have more than {place.name}.max_length = "
            f"{stage.max_length} tokens and are left out"
        )
    return rows


def _shuffled(size: int, *, seed: int, stage: str, redraw: bool) -> Iterator[tuple[int, float]]:
    """(number of a problem, its uniform number), epoch after epoch, each in a new order."""
    uniforms: list[float] = []
    for epoch in itertools.count():
        if epoch == 0 or redraw:
            of_epoch = epoch if redraw else None
            uniforms = finite.forms(size, seed=seed, epoch=of_epoch).tolist()
        for index in finite.order(size, seed=seed, name=stage, epoch=epoch).tolist():
            yield index, uniforms[index]


def _token_counts(task: TextTask, problems: Sequence[Problem], tokenizer: Any) -> list[tuple[int, int]]:
    """(tokens of the short form, of the long form) of each problem, with prompt and end of sequence."""
    counts: list[list[int]] = []
    for long in (False, True):
        of_form: list[int] = []
        for start in range(0, len(problems), TOKENIZE_BATCH):
            chunk = problems[start : start + TOKENIZE_BATCH]
            prompts = [task.prompt(problem) for problem in chunk]
            endings = [content(task.completion(problem, long=long)) for problem in chunk]
            of_form += [count + 1 for count in num_tokens(prompts, tokenizer, endings)]
        counts.append(of_form)
    return list(zip(*counts, strict=True))


def _trainer(
    context: TextContext, place: Place, stage: SupervisedFinetuning, model: Any, rows: list[Row], recorder: Recorder
) -> Any:
    """An SFTTrainer over rows in their order, with the loss on completions only."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from chainlift.stages.trl import pinned, trainers, training

    steps = len(rows) // stage.batch_size
    arguments = training.arguments(context, place, batch_size=stage.batch_size, steps=steps)
    return trainers.make_trainer(
        SFTTrainer,
        recorder.current_state,
        place.stays,
        model=model,
        args=SFTConfig(**arguments, **pinned.SFT),
        train_dataset=Dataset.from_list([{key: row[key] for key in ("prompt", "completion")} for row in rows]),
        **training.shared_parts(context, place, recorder),
    )
