"""The context that a run gives to its stages: places, records, checkpoints and Ctrl-C."""

from __future__ import annotations

import functools
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from chainlift import distributed
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.runs.reporter import Reporter
from chainlift.runs.store import RunFolder
from chainlift.runs.trackers import Mirror, is_whole
from chainlift.stages import starts
from chainlift.stages.failures import Interrupted
from chainlift.stages.stage import Place

if TYPE_CHECKING:
    from chainlift.stages.recipe import Recipe

SHOWN_RESPONSES = 8  # kept in rollouts.jsonl for each mode and occasion


@dataclass
class RunContext(ABC):
    """A recipe's run with its device, folder and reporter; subclasses open and measure its models."""

    recipe: Recipe
    folder: RunFolder
    reporter: Reporter
    device: torch.device
    stop: threading.Event = field(default_factory=threading.Event)
    shard: bool = False
    """Shard the model's weights between processes."""

    def __post_init__(self) -> None:
        self.mirror: Mirror | None = None

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """{stage: its digest}, computed once, before the task is read: files may change while stages are trained."""
        return distributed.run_on_rank0(lambda: {name: self.recipe.stage_digest(name) for name in self.recipe.stages})

    def read_task(self) -> None:  # noqa: B027 (most tasks read nothing)
        """Read what the task reads at its first use, and report what is notable."""

    @abstractmethod
    def load_checkpoint(self, folder: Path) -> Any:
        """The model of a checkpoint, for `measured`."""

    @abstractmethod
    def measured(self, state: TrainerState, model: Any, *, final: bool, show: bool) -> dict[str, list[dict[str, Any]]]:
        """Measure a model; returns the rows for each file without recording them: metrics, and with `show` responses.

        `show` measures the full number of prompts. The responses are to the same prompts at every occasion, so that
        they can be compared.
        """

    def close(self) -> None:  # noqa: B027 (most contexts have nothing to end)
        """End background workers."""

    @contextmanager
    def mirrored(self) -> Iterator[None]:
        """Mirror the record inside the block to the tracker that the recipe names, if any."""
        if self.recipe.track is not None and distributed.is_rank0():
            config = self.recipe.model_dump(mode="json")
            self.mirror = Mirror(self.folder, self.recipe.track, config, self.reporter.say)
        try:
            yield
            if self.mirror is not None:
                self.mirror.update()  # records after the last checkpoint: those that the run took over
        finally:
            if self.mirror is not None:
                self.mirror.close()

    def mirror_new_rows(self) -> None:
        """Mirror new records to the open tracker, if any."""
        if self.mirror is not None:
            self.mirror.update()

    def mirror_finished_run(self) -> None:
        """Mirror the rest of a finished run's record to the tracker that the recipe names, if any."""
        name = self.recipe.track
        if name is None or not distributed.is_rank0():
            return
        if is_whole(self.folder, name):
            self.reporter.say(f"{name} has all of it already")
            return
        with self.mirrored():
            self.reporter.say(f"its record goes to {name}")

    def place(self, name: str) -> Place:
        """The place of a stage in the run; ValueError if a checkpoint that it starts from is missing."""
        recipe, checkpoints = self.recipe, self.folder.checkpoints
        stage, names = recipe.stages[name], list(recipe.stages)
        before = names[: names.index(name)]
        after = distributed.run_on_rank0(lambda: checkpoint.latest(checkpoints, before[-1])) if before else None
        other, step = starts.split(stage.start, recipe.stages)
        base = recipe.stages.get(other or "")
        optimizer = getattr(stage, "optimizer", None)
        same = base is not None and type(base) is type(stage) and getattr(base, "optimizer", None) == optimizer
        return Place(
            name=name,
            digest=self.digests[name],
            stage=stage,
            start=self._start(name, other, step),
            after=after,
            mixture=recipe.mixture_of(name),
            continues=same and optimizer is not None,
            needed=starts.steps_needed(recipe.stages, name),
        )

    def _start(self, name: str, other: str | None, step: int | None) -> Path | None:
        """The checkpoint folder that a stage starts from."""
        if other is None:
            return None
        if other not in self.recipe.stages:
            return Path(other)
        kept = distributed.run_on_rank0(lambda: checkpoint.steps(self.folder.checkpoints, other))
        if not kept or (step is not None and step not in kept):
            missing = "checkpoint" if step is None else f"checkpoint of step {step}"
            available = ", ".join(map(str, kept)) or "none"
            raise ValueError(f"{name}.start: {other} has no {missing} in {self.folder.path}; there are: {available}")
        return kept[max(kept) if step is None else step]

    def lengths_before(self, place: Place) -> dict[str, int]:
        """Bytes of the folder's appended files at which the stage's records begin."""
        after = place.after
        return {} if after is None else distributed.run_on_rank0(lambda: checkpoint.read_state(after).lengths)

    def record(self, state: TrainerState, kind: str, metrics: dict[str, Any]) -> dict[str, Any]:
        """Append a row to metrics.jsonl and return it."""
        row = state.row(kind, metrics)
        if distributed.is_rank0():
            self.folder.append("metrics.jsonl", [row])
        return row

    def evaluate(self, state: TrainerState, model: Any, *, final: bool, show: bool) -> None:
        """Measure the model on evaluation prompts and record it; `show` measures the full number of prompts."""
        rows = self.measured(state, model, final=final, show=show)
        if distributed.is_rank0():
            for file, appended in rows.items():
                self.folder.append(file, appended)
        self.reporter.evaluation(rows["metrics.jsonl"][0])

    def resume(self, place: Place) -> tuple[TrainerState, Path | None]:
        """(state of the stage's newest checkpoint, its folder), or (a new state, None).

        The folder's files are truncated to the state's lengths; a new state follows the records before the stage.
        """
        newest = distributed.run_on_rank0(lambda: checkpoint.latest(self.folder.checkpoints, place.name))
        if newest is not None:
            state = distributed.run_on_rank0(lambda: checkpoint.read_state(newest))
        else:
            state = TrainerState(place.name, lengths=self.lengths_before(place), identity=place.digest)
        # The records of the next stage may follow those of a finished one.
        if not state.finished:
            distributed.run_on_rank0(lambda: self.folder.rewind(state.lengths))
        return state, newest

    @property
    def stopping(self) -> bool:
        """Whether the user has pressed Ctrl-C; a collective: all processes call it and get the same answer."""
        return distributed.any_rank(self.stop.is_set())

    def stop_if_asked(self) -> None:
        """Raise Interrupted in all processes once the user has pressed Ctrl-C; a collective."""
        if self.stopping:
            raise Interrupted


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Inside the block, the first Ctrl-C (or SIGTERM) requests a stop after the step; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request_stop(number: int, _frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
