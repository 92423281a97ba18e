"""The callbacks of TRL's trainers, which write down updates, measure, keep our state in checkpoints, and stop."""

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
"""From what a trainer logs of an update to what is recorded of it."""


def check_finite(logs: dict[str, float], step: int) -> None:
    """FloatingPointError where what a trainer logged of an update is not finite."""
    if not math.isfinite(logs["loss"]) or not math.isfinite(logs["grad_norm"]):
        raise FloatingPointError(f"loss {logs['loss']}, gradient norm {logs['grad_norm']} at update {step}")


class Stopper(TrainerCallback):
    """Ends a training when the run is asked to stop."""

    def __init__(self, context: TextContext) -> None:
        self.context = context

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
        """End it after an update."""
        if self.context.stopping:
            control.should_training_stop = True
        return control


class Recorder(TrainerCallback):
    """Writes down a trainer's updates, measures now and then, keeps our state in checkpoints, and stops when asked."""

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
        counts_anew: bool = False,
        passes: int = 1,
    ) -> None:
        """every: updates between two measurements; sequences: of an update; metrics: what is recorded of one.

        show_start: measure the start on the full number of problems. counts_anew: a trainer that goes on does not count
        the tokens of earlier processes. passes: how often a token that the trainer counts is processed; in RL it is
        sampled, and learned from.
        """
        self._tokens_before, self._passes = state.tokens if counts_anew else 0, passes
        self.context, self.place, self.state, self.tokenizer = context, place, state, tokenizer
        self.every, self.sequences, self.metrics, self.show_start = every, sequences, metrics, show_start
        self._since = time.monotonic()
        self.begun = state.step
        """The step that this process began at."""
        self.stopped = False
        """Whether the stage was asked to stop; all processes agree."""
        self._measured = 0  # the last step at which this process measured

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measure the model that the stage begins with."""
        self._since = time.monotonic()
        if self.state.step == 0:
            self._measure(given["model"], show=self.show_start)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **given: Any) -> None:
        """Record an update."""
        if logs is None or "grad_norm" not in logs:
            return
        check_finite(logs, state.global_step)  # by all processes, so that none waits for one that has given up
        if not state.is_world_process_zero:
            return
        self.state.tokens = self._tokens_before + self._passes * int(logs["num_tokens"])
        self.state.step = state.global_step
        self.state.sequences = state.global_step * self.sequences
        row = self.context.record(self.state, "update", self.metrics(logs))
        self.context.reporter.update(row)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
        """Keep a checkpoint that others start from; stop, with a checkpoint, when asked."""
        self.state.step = state.global_step
        self.stopped = self.context.stopping
        if self.stopped:
            control.should_training_stop = True
        if self.stopped or self.place.keeps(state.global_step):
            control.should_save = True
        control.should_log = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Bring what was recorded to the tracker."""
        self.context.mirror_new_rows()

    def current_state(self) -> TrainerState:
        """Our state as it goes into a checkpoint."""
        now = time.monotonic()
        self.state.seconds += now - self._since
        self._since = now
        self.state.lengths = self.context.folder.lengths()
        return self.state

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measured before an update, so that the rows of the update before it, and its checkpoint, are written."""
        step = state.global_step
        if step > 0 and step % self.every == 0 and step != self._measured:
            self._measure(given["model"], show=False)

    def _measure(self, model: Any, *, show: bool) -> None:
        self._measured = self.state.step
        self.context.evaluate(self.state, LanguageModel(model, self.tokenizer), final=False, show=show)
