"""Callbacks of TRL's trainers that record updates, measure, put our state into checkpoints, and stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from chainlift.models.pretrained.loading import LanguageModel
from chainlift.runs.checkpoint import TrainerState
from chainlift.stages.stage import Place
from chainlift.stages.trl.context import TextContext

Metrics = Callable[[dict[str, float]], dict[str, float]]
"""Makes the recorded metrics of an update from the trainer's logs."""


def check_finite(logs: dict[str, float], step: int) -> None:
    """FloatingPointError if the logged loss or gradient norm of an update is not finite."""
    if not math.isfinite(logs["loss"]) or not math.isfinite(logs["grad_norm"]):
        raise FloatingPointError(f"loss {logs['loss']}, gradient norm {logs['grad_norm']} at update {step}")


class Stopper(TrainerCallback):
    """Ends training when the user stops the run."""

    def __init__(self, context: TextContext) -> None:
        self.context = context

    def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> Any:
        """Request the end after an update."""
        if self.context.stopping:
            control.should_training_stop = True
        return control


class Recorder(TrainerCallback):
    """Records a trainer's updates, measures at intervals, puts our state into checkpoints, and stops on request."""

    def __init__(
        self,
        context: TextContext,
        place: Place,
        state: TrainerState,
        tokenizer: Any,
        *,
        every: int,
        sequences: int,
        metrics: Metrics,
        show_start: bool = False,
        counts_restart: bool = False,
        passes: int = 1,
    ) -> None:
        """every: updates between two measurements; sequences: number in an update; metrics: makes its recorded metrics.

        show_start: measure the start on the full number of problems. counts_restart: a resumed trainer does not count
        the tokens of earlier processes. passes: how often a counted token is processed; in RL twice, when it is sampled
        and when it is learned from.
        """
        self._tokens_before, self._passes = state.tokens if counts_restart else 0, passes
        self.context, self.place, self.state, self.tokenizer = context, place, state, tokenizer
        self.every, self.sequences, self.metrics, self.show_start = every, sequences, metrics, show_start
        self._since = time.monotonic()
        self.first_step = state.step
        """The step at which this process started."""
        self.stopped = False
        """Whether the user stopped the stage; equal in all processes."""
        self._measured = 0  # the last step at which this process measured

    def on_train_begin(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        """Measure the model that the stage starts from."""
        self._since = time.monotonic()
        if self.state.step == 0:
            self._measure(options["model"], show=self.show_start)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **options: Any) -> None:
        """Record an update."""
        if logs is None or "grad_norm" not in logs:
            return
        check_finite(logs, state.global_step)  # in all processes, so that none waits for one that has failed
        if not state.is_world_process_zero:
            return
        self.state.tokens = self._tokens_before + self._passes * int(logs["num_tokens"])
        self.state.step = state.global_step
        self.state.sequences = state.global_step * self.sequences
        row = self.context.record(self.state, "update", self.metrics(logs))
        self.context.reporter.update(row)

    def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> Any:
        """Request the checkpoints to keep; on a stop, request a checkpoint and the end."""
        self.state.step = state.global_step
        self.stopped = self.context.stopping
        if self.stopped:
            control.should_training_stop = True
        if self.stopped or self.place.keeps(state.global_step):
            control.should_save = True
        control.should_log = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        """Mirror new records to the tracker."""
        self.context.mirror_new_rows()

    def current_state(self) -> TrainerState:
        """Our state for a checkpoint, brought up to date."""
        now = time.monotonic()
        self.state.seconds += now - self._since
        self._since = now
        self.state.lengths = self.context.folder.lengths()
        return self.state

    def on_step_begin(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        """Measure before an update, when the rows and the checkpoint of the last update are written."""
        step = state.global_step
        if step > 0 and step % self.every == 0 and step != self._measured:
            self._measure(options["model"], show=False)

    def _measure(self, model: Any, *, show: bool) -> None:
        self._measured = self.state.step
        self.context.evaluate(self.state, LanguageModel(model, self.tokenizer), final=False, show=show)
