"""What every stage of a run is given, and the way it records, stops and goes on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from chainlift import processes
from chainlift.learning import sharding
from chainlift.learning.optimizer import Optimizer
from chainlift.measure.evaluate import Answers, answer, measure
from chainlift.measure.samples import records
from chainlift.models import families
from chainlift.models.model import Model
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.runs.reporter import Reporter
from chainlift.runs.store import RunFolder
from chainlift.runs.track import Mirror, is_whole
from chainlift.seeding import stream
from chainlift.stages.failures import Interrupted
from chainlift.stages.stage import Place
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import Task, held_out

if TYPE_CHECKING:
    from chainlift.stages.recipe import Recipe

SHOWN_RESPONSES = 8  # kept in rollouts.jsonl of each mode and occasion


@dataclass
class Context:
    """A recipe about to run: its task, device, folder and reporter."""

    recipe: Recipe
    folder: RunFolder
    reporter: Reporter
    device: torch.device
    stop: threading.Event = field(default_factory=threading.Event)
    shard: bool = False
    """Divide the model's weights between the processes that work together."""

    def __post_init__(self) -> None:
        self.task: Task = tasks.build(self.recipe.task)
        self.mirror: Mirror | None = None

    @contextmanager
    def mirrored(self) -> Iterator[None]:
        """Mirror what is recorded to the tracker that the recipe names, if any."""
        if self.recipe.track is not None and processes.is_first():
            config = self.recipe.model_dump(mode="json")
            self.mirror = Mirror(self.folder, self.recipe.track, config, self.reporter.say)
        try:
            yield
            if self.mirror is not None:
                self.mirror.update()  # what no checkpoint of this run followed: records that it took over
        finally:
            if self.mirror is not None:
                self.mirror.close()

    def mirror_new_rows(self) -> None:
        """Mirror what has been recorded since, to the tracker that is open, if any."""
        if self.mirror is not None:
            self.mirror.update()

    def mirror_what_is_there(self) -> None:
        """Mirror the record of a finished run, as far as it has not been, to the tracker that the recipe names."""
        name = self.recipe.track
        if name is None or not processes.is_first():
            return
        if is_whole(self.folder, name):
            self.reporter.say(f"{name} has all of it already")
            return
        with self.mirrored():
            self.reporter.say(f"its record goes to {name}")

    def new_model(self) -> Model:
        """A freshly initialised model on the device, its weights from the stream `model`."""
        model = families.build(self.recipe.model, self.task)
        model = model.initialise(stream(self.recipe.seed, "model")).to(self.device)
        if self.recipe.compile:
            model.compile_parts()
        return sharding.shard(model) if self.shard else model

    def precision(self) -> AbstractContextManager[Any]:
        """Autocast to bfloat16 where the recipe asks for it."""
        if self.recipe.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def load_start(self, place: Place, model: Model, optimizer: Optimizer | None = None) -> None:
        """Fill the model, and the optimizer if given, from what the stage starts with; ValueError if it does not fit.

        A folder that another program wrote has weights only.
        """
        if place.start is None:
            return
        try:
            if optimizer is None:
                checkpoint.load_weights(place.start, model)
            else:
                checkpoint.restore(place.start, model, optimizer)
        except ValueError as error:
            raise ValueError(f"{place.name}.start: {error}") from error

    def begin(self, place: Place, model: Model, optimizer: Optimizer) -> TrainerState:
        """The state to go on from: the stage's newest checkpoint, or a new state that follows the records before it.

        Model and optimizer are filled from the stage's checkpoint; the folder's files are cut back to what the state
        knows.
        """
        newest = processes.first_says(lambda: checkpoint.latest(self.folder.checkpoints, place.name))
        if newest is not None:
            state = checkpoint.restore(newest, model, optimizer)
        else:
            state = TrainerState(place.name, lengths=self.lengths_before(place), identity=place.digest)
        # Behind a finished stage may stand the records of the next one.
        if not state.finished and processes.is_first():
            self.folder.rewind(state.lengths)
        return state

    def lengths_before(self, place: Place) -> dict[str, int]:
        """Bytes of the folder's appended files where the stage's own records begin."""
        after = place.after
        return {} if after is None else processes.first_says(lambda: checkpoint.read_state(after).lengths)

    def keep(self, place: Place, state: TrainerState, model: Model, optimizer: Optimizer, since: float) -> float:
        """The time now, after writing a checkpoint; `since`: when the state's seconds were last brought up to date."""
        now = time.monotonic()
        state.seconds += now - since
        if processes.is_first():
            state.lengths = self.folder.lengths()
        checkpoint.save(self.folder.checkpoints, state, model, self.task, optimizer, stays=place.stays)
        self.mirror_new_rows()
        return now

    def record(self, state: TrainerState, kind: str, metrics: dict[str, Any]) -> dict[str, Any]:
        """The row just appended to metrics.jsonl."""
        row = state.row(kind, metrics)
        if processes.is_first():
            self.folder.append("metrics.jsonl", [row])
        return row

    def measured(self, state: TrainerState, model: Model, *, final: bool, show: bool) -> dict[str, Any]:
        """The row of a measurement, not recorded; `show` takes the full number of prompts."""
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
            )
        return state.row("evaluation", {"final": final, **table})

    def evaluate(self, state: TrainerState, model: Model, *, final: bool, show: bool) -> None:
        """Measure the model on evaluation prompts and record it; `show` takes the full number of prompts.

        It also keeps responses to a few prompts, the same at every occasion: before and after stand side by side.
        """
        row = self.measured(state, model, final=final, show=show)
        if processes.is_first():
            self.folder.append("metrics.jsonl", [row])
        if show:
            seed = self.recipe.seed
            prompts = held_out(self.task).prompts(SHOWN_RESPONSES, stream(seed, "shown/prompts"))
            for mode, generator in (("greedy", None), ("sampled", stream(seed, "shown/samples"))):
                with sharding.whole(model), self.precision():
                    found = answer(model, self.task, prompts, generator=generator)
                self.record_responses(state, "evaluation", mode, found)
        self.reporter.evaluation(row)

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
        """Append the first responses to rollouts.jsonl."""
        if not processes.is_first():
            return
        rows = list(range(min(SHOWN_RESPONSES, len(answers.rollout.rows))))
        found = records(self.task, answers, rows, rewards=rewards, advantages=advantages)
        where = {"stage": state.stage, "step": state.step, "kind": kind, "mode": mode}
        self.folder.append("rollouts.jsonl", [where | record for record in found])

    @property
    def stopping(self) -> bool:
        """Whether the user has pressed Ctrl-C; all processes that work together agree, and must all ask."""
        return processes.any_of_all(self.stop.is_set())

    def stop_if_asked(self) -> None:
        """Raise Interrupted once the user has pressed Ctrl-C; for all processes at once, as above."""
        if self.stopping:
            raise Interrupted


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Turn the first Ctrl-C (or SIGTERM) into a request to stop after the step; a second Ctrl-C ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
