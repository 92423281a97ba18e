"""What a stage of any kind is given of its run: its place, records, checkpoints on record, Ctrl-C."""

from __future__ import annotations

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
from chainlift.runs.track import Mirror, is_whole
from chainlift.stages import chain
from chainlift.stages.failures import Interrupted
from chainlift.stages.stage import Place

if TYPE_CHECKING:
    from chainlift.stages.recipe import Recipe

SHOWN_RESPONSES = 8  # kept in rollouts.jsonl of each mode and occasion


@dataclass
class RunContext(ABC):
    """A recipe about to run, with its device, folder and reporter; what its models are, a subclass knows."""

    recipe: Recipe
    folder: RunFolder
    reporter: Reporter
    device: torch.device
    stop: threading.Event = field(default_factory=threading.Event)
    shard: bool = False
    """Divide the model's weights between the processes that work together."""

    def __post_init__(self) -> None:
        self.mirror: Mirror | None = None

    @abstractmethod
    def opened(self, folder: Path) -> Any:
        """The model of a checkpoint, as `measured` takes it."""

    @abstractmethod
    def measured(self, state: TrainerState, model: Any, *, final: bool, show: bool) -> dict[str, list[dict[str, Any]]]:
        """What a measurement appends to each file, not recorded: its row, and with `show` a few responses.

        `show` takes the full number of prompts; the responses are to the same prompts at every occasion, so that before
        and after stand side by side.
        """

    def close(self) -> None:  # noqa: B027 (most contexts have nothing to end)
        """End what works in the background."""

    @contextmanager
    def mirrored(self) -> Iterator[None]:
        """Mirror what is recorded to the tracker that the recipe names, if any."""
        if self.recipe.track is not None and distributed.is_rank0():
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
        if name is None or not distributed.is_rank0():
            return
        if is_whole(self.folder, name):
            self.reporter.say(f"{name} has all of it already")
            return
        with self.mirrored():
            self.reporter.say(f"its record goes to {name}")

    def place(self, name: str) -> Place:
        """Where in the run a stage is carried out; ValueError if a checkpoint that it starts from is missing."""
        recipe, checkpoints = self.recipe, self.folder.checkpoints
        stage, names = recipe.stages[name], list(recipe.stages)
        before = names[: names.index(name)]
        after = distributed.run_on_rank0(lambda: checkpoint.latest(checkpoints, before[-1])) if before else None
        other, step = chain.split(stage.start, recipe.stages)
        base = recipe.stages.get(other or "")
        optimizer = getattr(stage, "optimizer", None)
        same = base is not None and type(base) is type(stage) and getattr(base, "optimizer", None) == optimizer
        return Place(
            name=name,
            digest=distributed.run_on_rank0(lambda: recipe.stage_digest(name)),
            stage=stage,
            start=self._start(name, other, step),
            after=after,
            mixture=recipe.mixture_of(name),
            continues=same and optimizer is not None,
            needed=chain.steps_needed(recipe.stages, name),
        )

    def _start(self, name: str, other: str | None, step: int | None) -> Path | None:
        """The checkpoint folder that a stage starts from."""
        if other is None:
            return None
        if other not in self.recipe.stages:
            return Path(other)
        kept = distributed.run_on_rank0(lambda: checkpoint.steps(self.folder.checkpoints, other))
        if not kept or (step is not None and step not in kept):
            wanted = "checkpoint" if step is None else f"checkpoint of step {step}"
            there = ", ".join(map(str, kept)) or "none"
            raise ValueError(f"{name}.start: {other} has no {wanted} in {self.folder.path}; there are: {there}")
        return kept[max(kept) if step is None else step]

    def lengths_before(self, place: Place) -> dict[str, int]:
        """Bytes of the folder's appended files where the stage's own records begin."""
        after = place.after
        return {} if after is None else distributed.run_on_rank0(lambda: checkpoint.read_state(after).lengths)

    def record(self, state: TrainerState, kind: str, metrics: dict[str, Any]) -> dict[str, Any]:
        """The row just appended to metrics.jsonl."""
        row = state.row(kind, metrics)
        if distributed.is_rank0():
            self.folder.append("metrics.jsonl", [row])
        return row

    def evaluate(self, state: TrainerState, model: Any, *, final: bool, show: bool) -> None:
        """Measure the model on evaluation prompts and record it; `show` takes the full number of prompts."""
        rows = self.measured(state, model, final=final, show=show)
        if distributed.is_rank0():
            for file, appended in rows.items():
                self.folder.append(file, appended)
        self.reporter.evaluation(rows["metrics.jsonl"][0])

    def go_on(self, place: Place) -> tuple[TrainerState, Path | None]:
        """(the state to go on from, the stage's newest checkpoint if there is one).

        A new state follows the records before the stage. The folder's files are cut back to what the state knows.
        """
        newest = distributed.run_on_rank0(lambda: checkpoint.latest(self.folder.checkpoints, place.name))
        if newest is not None:
            state = distributed.run_on_rank0(lambda: checkpoint.read_state(newest))
        else:
            state = TrainerState(place.name, lengths=self.lengths_before(place), identity=place.digest)
        # Behind a finished stage may stand the records of the next one.
        if not state.finished:
            distributed.run_on_rank0(lambda: self.folder.rewind(state.lengths))
        return state, newest

    @property
    def stopping(self) -> bool:
        """Whether the user has pressed Ctrl-C; all processes that work together agree, and must all ask."""
        return distributed.any_rank(self.stop.is_set())

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
