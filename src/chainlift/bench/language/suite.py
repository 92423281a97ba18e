"""The comparisons on a language model: fine-tuning, sampling, and an RL update on recorded samples.

All cases of a comparison get the same prompts, and those of an update the same samples, which our engine made in that
state, with the same rewards. As on symbols, the late update is timed twice: with the task's rewards, and with coins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

from chainlift.bench import peers
from chainlift.bench.language.ours import Samples, TextEngine
from chainlift.bench.language.trl_recorded import GrpoUpdate, SftUpdate
from chainlift.bench.machine import Machine
from chainlift.bench.ours import draw_batch, draw_prompts
from chainlift.bench.peers import WEIGHTS, Generate, TrainingStep
from chainlift.bench.states import States, next_token_stage, rl_stage
from chainlift.bench.suite import ACTIONS, COINS, Suite
from chainlift.bench.timing import Action, Case, Comparison, clocked
from chainlift.models.hub import model_folder
from chainlift.stages.trl import pinned
from chainlift.tasks.base import Task

UPDATE = "update on recorded samples"


@dataclass(frozen=True)
class TextSuite:
    """All comparisons on one device.

    On a machine with bfloat16 our weights have that type, and each peer is timed twice: with such weights, and by
    autocast with weights in float32.
    """

    states: States
    machine: Machine
    peers: bool
    only: tuple[str, ...] = ACTIONS
    """Those of `Suite`; there is no comparison of `evaluate`, which is sampling and its grading by the task."""

    def comparisons(self) -> Iterator[Comparison]:
        """The comparisons in order; models are loaded only when a case is made."""
        if "stage1" in self.only:
            yield self._comparison("stage1", "", self._next_token_update())
        if self.states.late is None:
            return
        folders = {"early": self.states.early, "late": self.states.late}
        for state, folder in folders.items() if "rollout" in self.only else ():
            yield self._comparison("rollout", state, self._rollout(folder))
        for state, folder in folders.items() if "update" in self.only else ():
            yield self._comparison(UPDATE, state, self._update(folder, coins=False))
            if state == "late":
                yield self._comparison(UPDATE, f"{state}, {COINS}", self._update(folder, coins=True))

    def _comparison(self, action: str, state: str, cases: Iterator[Case]) -> Comparison:
        return Comparison(action, state, self.machine.dtype, list(cases))

    def _next_token_update(self) -> Iterator[Case]:
        recipe, folder = self.states.recipe, self.states.early
        yield Case("ours", "ours", lambda: clocked(self.machine, self._engine(folder).next_token_update))

        def padded(weights: str) -> Action:
            update = TrainingStep(folder, self.machine, self._task, weights=weights)
            return lambda step: update(draw_batch(recipe, self._task, step))

        def by_trl(weights: str) -> Action:
            size = next_token_stage(recipe)[1].batch_size
            update = SftUpdate(folder, self.machine, self._task, weights, batch_size=size)
            return lambda step: update(draw_batch(recipe, self._task, step))

        yield from self._peers("transformers training step, padded", padded)
        yield from self._peers("TRL SFTTrainer", by_trl)

    def _rollout(self, folder: Path) -> Iterator[Case]:
        settings = rl_stage(self.states.recipe)[1]
        yield Case("ours", "ours", lambda: clocked(self.machine, self._engine(folder).rollout))

        def by_generate(weights: str) -> Action:
            model = peers.load(folder, self.machine, training=False, weights=weights)
            generate = Generate(model, self.machine.for_weights(weights), self._task)
            return lambda step: generate(
                draw_prompts(self._task, settings.prompts, step), group_size=settings.group_size
            )

        yield from self._peers("transformers generate", by_generate)

    def _update(self, folder: Path, *, coins: bool) -> Iterator[Case]:
        settings = rl_stage(self.states.recipe)[1]

        @cache
        def recorder() -> TextEngine:
            return self._engine(folder)

        @cache
        def samples(step: int) -> Samples:
            return recorder().record(step, coins=coins)

        def ours() -> Action:
            engine = self._engine(folder)
            return lambda step: clocked(self.machine, partial(engine.update, samples(step)))(step)

        def by_trl(weights: str) -> Action:
            update = GrpoUpdate(folder, self.machine, self._task, weights, settings=settings)
            return lambda step: update(samples(step))

        yield Case("ours", "ours", ours)
        if settings.algorithm in pinned.ALGORITHMS:  # the others are not TRL's
            yield from self._peers("TRL GRPOTrainer", by_trl)

    def _peers(self, name: str, make: Callable[[str], Action]) -> Iterator[Case]:
        """A peer's cases, one for each type of weights; none if the peers are missing."""
        types = WEIGHTS if self.machine.dtype == "bfloat16" else ("float32",)
        for weights in types if self.peers else ():
            marked = name if len(types) == 1 else f"{name}, weights in {weights}"
            yield Case(marked, "peer", partial(make, weights))

    def _engine(self, folder: Path) -> TextEngine:
        model, _ = model_folder.load(folder)
        return TextEngine(self.states.recipe, model.to(self.machine.device), self._task)

    @cached_property
    def _task(self) -> Task:
        """The task in the checkpoint's tokens, which all cases share, as its problems take long to read."""
        return model_folder.load(self.states.early)[1]


def suite_of(states: States, machine: Machine, *, peers: bool, only: tuple[str, ...] = ACTIONS) -> Suite | TextSuite:
    """The suite of the task that the states were trained on."""
    return (TextSuite if states.recipe.is_text else Suite)(states, machine, peers, only)
