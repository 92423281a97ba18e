"""The context of stages of our own engine: the task, its models, their checkpoints and measurements."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from chainlift import distributed
from chainlift.learning import sharding
from chainlift.learning.optimizer import Optimizer
from chainlift.measure.evaluate import Answers, answer, measure
from chainlift.measure.samples import records
from chainlift.models import families, lora
from chainlift.models.hub import model_folder
from chainlift.models.model import Model
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream
from chainlift.stages import starts
from chainlift.stages.run_context import SHOWN_RESPONSES, RunContext
from chainlift.stages.stage import Place
from chainlift.stages.task import task_of
from chainlift.tasks.base import Task, held_out
from chainlift.text.tokenized import TokenizedTask

LEAST_KEPT = 0.95
"""Share of the adapters' change below which a run says what rounding took away."""


@dataclass
class Context(RunContext):
    """A run of our own engine: its task, device, folder and reporter."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.task: Task = task_of(self.recipe)

    def read_task(self) -> None:
        """Read what the task reads at its first use, and report how many training problems are left out."""
        if isinstance(self.task, TokenizedTask):
            started, left_out = time.monotonic(), self.task.num_left_out
            seconds = f"{self.task.num_train:,} training problems read in {time.monotonic() - started:.0f} s"
            limit = f"; {left_out:,} with a response above task.max_tokens are left out" if left_out else ""
            self.reporter.say(seconds + limit)

    def close(self) -> None:
        """End what the task holds open, such as the workers of a grader."""
        if callable(close := getattr(self.task, "close", None)):
            close()

    def new_model(self) -> Model:
        """A model on the device with fresh weights: drawn from the stream `model`, or pretrained."""
        model = families.build(self.recipe.model, self.task)
        model = model.fresh(stream(self.recipe.seed, "model")).to(self.device)
        if self.recipe.compile:
            model.compile_parts()
        return sharding.shard(model) if self.shard else model

    def precision(self) -> AbstractContextManager[Any]:
        """Autocast to bfloat16 if the recipe sets it."""
        if self.recipe.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def load_start(self, place: Place, model: Model, optimizer: Optimizer | None = None) -> None:
        """Load the stage's start into the model, and into the optimizer if given; ValueError if it does not fit.

        A folder that another program wrote has weights only.
        """
        if place.start is None:
            return
        try:
            if starts.split(self.recipe.stages[place.name].start, self.recipe.stages)[0] not in self.recipe.stages:
                folder = place.start  # no stage of this run
                distributed.run_on_rank0(lambda: model_folder.check_tokens(folder, self.task))
            if optimizer is None or lora.has_adapters(model):  # adapters begin anew
                checkpoint.load_weights(place.start, model)
            else:
                checkpoint.restore(place.start, model, optimizer)
        except ValueError as error:
            raise ValueError(f"{place.name}.start: {error}") from error

    def load_checkpoint(self, folder: Path) -> Model:
        """The model of one of this run's checkpoints, on the device."""
        model = self.new_model()
        checkpoint.restore(folder, model, None)
        return model

    def begin(self, place: Place, model: Model, optimizer: Optimizer) -> TrainerState:
        """Resume from the stage's newest checkpoint, if there is one; returns its state, or a new one.

        Model and optimizer are loaded from the checkpoint, and the folder's files are truncated to the state's lengths.
        """
        state, newest = self.resume(place)
        if newest is not None:
            checkpoint.restore(newest, model, optimizer)
        return state

    def keep(self, place: Place, state: TrainerState, model: Model, optimizer: Optimizer, since: float) -> float:
        """Write a checkpoint; returns the time now. `since`: when the state's seconds were last updated."""
        now = time.monotonic()
        state.seconds += now - since
        if distributed.is_rank0():
            state.lengths = self.folder.lengths()
        checkpoint.save(self.folder.checkpoints, state, model, self.task, optimizer, stays=place.stays)
        if state.finished and lora.has_adapters(model):
            with sharding.whole(model):
                share = lora.share_kept(model)
            if share < LEAST_KEPT:
                self.reporter.say(
                    f"the checkpoint holds {share:.0%} of what the adapters learned, as its weights are in bfloat16; "
                    "model.weights=float32 keeps all of it"
                )
        self.mirror_new_rows()
        return now

    def measured(
        self, state: TrainerState, model: Model, *, final: bool, show: bool
    ) -> dict[str, list[dict[str, Any]]]:
        """Measure the model; returns unrecorded rows for metrics.jsonl and, with `show`, for rollouts.jsonl."""
        settings = self.recipe.evaluate
        with sharding.whole(model), self.precision():
            table = measure(
                model,
                self.task,
                settings.prompts if show else settings.during,
                seed=self.recipe.seed,
                name=f"{state.stage}/evaluate",
                step=state.step,
                pass_at_k_prompts=settings.pass_at_k_prompts if final else 0,
                pass_at_k_samples=settings.pass_at_k_samples,
                with_forced=final,
            )
        row = state.row("evaluation", {"final": final, **table})
        return {"metrics.jsonl": [row], "rollouts.jsonl": self._shown(state, model) if show else []}

    def _shown(self, state: TrainerState, model: Model) -> list[dict[str, Any]]:
        """Greedy and sampled responses to a few prompts, as rows of rollouts.jsonl."""
        seed, rows = self.recipe.seed, []
        prompts = held_out(self.task).prompts(SHOWN_RESPONSES, stream(seed, "shown/prompts"))
        for mode, generator in (("greedy", None), ("sampled", stream(seed, "shown/samples"))):
            with sharding.whole(model), self.precision():
                answers = answer(model, self.task, prompts, generator=generator)
            rows += self._responses(state, "evaluation", mode, answers)
        return rows

    def record_responses(
        self,
        state: TrainerState,
        kind: str,
        mode: str,
        answers: Answers,
        *,
        rewards: torch.Tensor | None = None,
        advantages: torch.Tensor | None = None,
    ) -> None:
        """Append the first few responses to rollouts.jsonl."""
        if not distributed.is_rank0():
            return
        rows = self._responses(state, kind, mode, answers, rewards=rewards, advantages=advantages)
        self.folder.append("rollouts.jsonl", rows)

    def _responses(
        self, state: TrainerState, kind: str, mode: str, answers: Answers, **columns: torch.Tensor | None
    ) -> list[dict[str, Any]]:
        """Rows of rollouts.jsonl for the first few responses."""
        rows = list(range(min(SHOWN_RESPONSES, len(answers.rollout.rows))))
        where = {"stage": state.stage, "step": state.step, "kind": kind, "mode": mode}
        return [where | record for record in records(self.task, answers, rows, **columns)]
