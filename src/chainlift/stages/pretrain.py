"""Stage 1, and the baseline that goes on with it: batch, update, evaluate, record."""

from __future__ import annotations

import time
from pathlib import Path

from chainlift.learning import averaging, next_token, parallel, sharding
from chainlift.learning.next_token import PretrainSettings
from chainlift.learning.optimizer import apply_gradients, make_optimizer
from chainlift.models.model import Model
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.stages.context import Context
from chainlift.stages.failures import Interrupted
from chainlift.tasks import mixture


def pretrain(
    context: Context,
    settings: PretrainSettings,
    *,
    stage: str = "pretrain",
    start: Path | None = None,
    after: Path | None = None,
    min_tokens: int = 0,
) -> tuple[Model, TrainerState]:
    """The trained model and its final state after `settings.steps` updates.

    `start`: a checkpoint whose weights and optimizer averages the stage begins with; `after`: the checkpoint whose
    records this stage's follow. A stage that has begun goes on from its own newest checkpoint. A stage with
    `min_tokens` ends no earlier than when it has processed so many; its caller chose `steps` to be enough on average.
    """
    recipe, task = context.recipe, context.task
    model = context.new_model()
    optimizer = make_optimizer(model, settings)
    if start is not None:
        checkpoint.restore(start, model, optimizer)
    state = context.begin(stage, model, optimizer, after)
    if state.finished:
        return model, state

    before_average = averaging.first_averaged(settings.steps, settings.average_tail) - 1
    since = time.monotonic()
    with context.reporter.stage(stage, state.step, settings.steps):
        while state.step < settings.steps or state.tokens < min_tokens:
            if state.step % recipe.evaluate.every == 0:
                with averaging.averaged(model, optimizer, state.step - before_average):
                    context.evaluate(state, model, final=False, show=False)

            batch = mixture.draw(
                task, recipe.mixture, settings.batch_size, seed=recipe.seed, name=stage, step=state.step
            )
            own = parallel.own_demonstrations(batch)
            with sharding.whole(model):
                with context.precision():
                    metrics = next_token.accumulate_gradient(model, own, settings.loss_weighting, whole=batch)
                parallel.sum_gradients(model)
            metrics = parallel.whole_metrics(metrics)
            moved = apply_gradients(model, optimizer, settings, state.step, settings.steps)

            state.step += 1
            averaging.accumulate(model, optimizer, state.step - before_average, settings.average_window)
            state.sequences += settings.batch_size
            state.tokens += batch.num_tokens
            context.reporter.update(context.record(state, "update", metrics | moved))
            stopping = context.stopping
            if stopping or state.step % settings.checkpoint_every == 0:
                since = context.keep(state, model, optimizer, since)
            if stopping:
                raise Interrupted

        averaging.settle(model, optimizer, state.step - before_average)
        context.evaluate(state, model, final=True, show=True)
        state.finished = True
        context.keep(state, model, optimizer, since)
    return model, state
