"""Next-token prediction on demonstrations: batch, update, evaluate, record."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from pydantic import Field

from chainlift.learning import averaging, next_token, parallel, sharding
from chainlift.learning.next_token import LossWeighting
from chainlift.learning.optimizer import OptimizerSettings, apply_gradients, make_optimizer
from chainlift.measure.evaluate import EvaluateSettings
from chainlift.settings import NOT_HASHED
from chainlift.stages.failures import Interrupted
from chainlift.stages.length import Length
from chainlift.stages.stage import Place
from chainlift.tasks import mixture
from chainlift.tasks.base import Task
from chainlift.tasks.finite import Finite
from chainlift.tasks.mixture import MixtureSettings

if TYPE_CHECKING:
    from chainlift.stages.context import Context
    from chainlift.stages.planning.timing import Stopwatch


class NextTokenPrediction(OptimizerSettings, Length):
    """Next-token prediction on fresh demonstrations."""

    title: str = Field(default="next-token prediction", json_schema_extra=NOT_HASHED)
    unit: str = Field(default="demonstrations", json_schema_extra=NOT_HASHED)

    kind: str = "ntp"
    batch_size: int = Field(default=256, ge=1)
    """Demonstrations an update."""
    loss_weighting: LossWeighting = "token_mean"
    """token_mean: mean over output tokens; sequence_mean: mean over demonstrations of their token means; sequence_sum:
    sum over output tokens, divided by the number of demonstrations."""
    average_tail: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps, at the end, whose weights are averaged; the average is measured and handed on."""
    average_window: int | None = Field(default=None, ge=1)
    """Window of the average, in steps: weights fall by 1 - 1/window a step; null: equal weights."""

    def rows_in_memory(self) -> dict[str, int]:
        """Rows of a batch."""
        return {"batch_size": self.batch_size}

    def seconds(self, stopwatch: Stopwatch) -> float | None:
        """Number of updates times the time of one; None if another stage decides their number."""
        if self.total_steps is None:
            return None
        return self.total_steps * stopwatch.next_token_update(self)

    def num_evaluations(self, evaluate: EvaluateSettings) -> tuple[int, int]:
        """One every `evaluate.every` steps, and one at the end."""
        return (0 if self.total_steps is None else -(-self.total_steps // evaluate.every)), 1

    def train(self, context: Context, place: Place) -> None:
        """Train from the newest checkpoint to the end of the stage."""
        recipe, task = context.recipe, context.task
        model = context.new_model()
        optimizer = make_optimizer(model, self)
        context.load_start(place, model, optimizer if place.continues else None)
        state = context.begin(place, model, optimizer)
        if state.finished:
            return

        steps, min_tokens = self._length(context, place)
        before_average = averaging.first_averaged(steps, self.average_tail) - 1
        averaging.swap(model, optimizer, state.step - before_average)  # as the checkpoint had it
        since = time.monotonic()
        with context.reporter.stage(place.title, state.step, steps):
            while state.step < steps or state.tokens < min_tokens:
                if state.step % recipe.evaluate.every == 0:
                    with averaging.averaged(model, optimizer, state.step - before_average):
                        context.evaluate(state, model, final=False, show=False)

                batch = mixture.draw(
                    task,
                    place.mixture,
                    self.batch_size,
                    seed=recipe.seed,
                    name=place.name,
                    step=state.step,
                    share=min(state.step / steps, 1.0),
                )
                local = parallel.local_demonstrations(batch)
                with sharding.whole(model):
                    with context.precision():
                        metrics = next_token.accumulate_gradient(model, local, self.loss_weighting, whole=batch)
                    parallel.sum_gradients(model)
                metrics = parallel.whole_metrics(metrics)
                step_metrics = apply_gradients(model, optimizer, self, state.step, steps)

                state.step += 1
                averaging.accumulate(model, optimizer, state.step - before_average, self.average_window)
                state.sequences += self.batch_size
                state.tokens += batch.num_tokens
                context.reporter.update(context.record(state, "update", metrics | step_metrics))
                stopping = context.stopping
                if stopping or state.step % self.checkpoint_every == 0 or place.keeps(state.step):
                    averaging.swap(model, optimizer, state.step - before_average)
                    since = context.keep(place, state, model, optimizer, since)
                    averaging.swap(model, optimizer, state.step - before_average)
                if stopping:
                    raise Interrupted

            averaging.settle(model, optimizer, state.step - before_average)
            context.evaluate(state, model, final=True, show=True)
            state.finished = True
            context.keep(place, state, model, optimizer, since)

    def _length(self, context: Context, place: Place) -> tuple[int, int]:
        """(updates for the schedule, least tokens to process)."""
        tokens = self.needed_tokens(context.folder.checkpoints)
        if tokens is None:
            return self.total_steps or 0, 0
        return enough_steps(context.task, place.mixture, self.batch_size, int(tokens)), int(tokens)


def enough_steps(task: Task, demonstrations: MixtureSettings, batch_size: int, tokens: int) -> int:
    """Updates that process this many prompt and output tokens on average."""
    p_cot = demonstrations.mean
    if isinstance(task, Finite):
        return math.ceil(tokens / (batch_size * task.mean_tokens(p_cot)))
    response = p_cot * task.long_length + (1 - p_cot) * task.short_length + 1
    return -(-tokens // int(batch_size * (task.prompt_length + response)))
