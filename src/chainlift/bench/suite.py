"""The comparisons: each action in each state, ours first, then ours without a saving at a time, then the peers.

Late, a trained policy earns nearly every reward, and our update skips rows without advantage. So the late update is
timed twice: as it is, and with rewards that are coin flips, where nearly every group has signal and no row is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chainlift.bench import peers, trl_peer
from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine, asked, drawn, product
from chainlift.bench.peers import Generate, TrainingStep
from chainlift.bench.stages_measured import rl_stage
from chainlift.bench.states import States
from chainlift.bench.timing import Action, Case, Comparison, Doing, Done, Work, clocked
from chainlift.models import savings
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.tasks import registry

ACTIONS = ("stage1", "rollout", "update", "evaluate")
COINS = "rewards of coin flips"
SAVINGS = {
    "stage1": ("suffix only", "buckets", "lookup", "micro-batches"),
    "rollout": ("shared prompts", "equal samples", "compaction", "drafts", "lookup"),
    "update": ("shared prompts", "equal samples", "compaction", "drafts", "zero advantage", "lookup"),
    "evaluate": ("compaction", "drafts", "lookup"),
}
"""Those of models/savings.py that an action makes use of."""
ON_GPUS: dict[str, tuple[str, ...]] = dict.fromkeys(("rollout", "update", "evaluate"), ("cuda graphs",))
"""Those that only a GPU has, and that a run does not use: they are switched on."""
OF_MEMORY = ("suffix only", "buckets", "micro-batches", "shared prompts", "equal samples")
"""Without these an action needs other memory, which is then measured."""
Algorithm = Literal["grpo", "rloo"]


@dataclass(frozen=True)
class Suite:
    """Everything that is compared on one device in one precision."""

    states: States
    machine: Machine
    peers: bool
    only: tuple[str, ...] = ACTIONS

    def comparisons(self) -> Iterator[Comparison]:
        """In order; nothing is loaded before a case is made."""
        if "stage1" in self.only:
            yield self._comparison("stage1", "", self._stage_1())
        if self.states.late is None:
            return
        folders = {"early": self.states.early, "late": self.states.late}
        of_action = {"rollout": self._rollout, "evaluate": self._evaluate}
        for action in ("rollout", "update", "evaluate"):
            if action not in self.only:
                continue
            for state, folder in folders.items():
                if action == "update":
                    yield from self._updates(state, folder)
                else:
                    yield self._comparison(action, state, of_action[action](folder))

    def _updates(self, state: str, folder: Path) -> Iterator[Comparison]:
        yield self._comparison("update", state, self._update(folder, "grpo", coins=False))
        if state == "late":
            yield self._comparison("update", f"{state}, {COINS}", self._update(folder, "grpo", coins=True))
        if self.peers:
            yield self._comparison("update of RLOO", state, self._update(folder, "rloo", coins=False))

    def _comparison(self, action: str, state: str, cases: Iterator[Case]) -> Comparison:
        return Comparison(action, state, self.machine.dtype, list(cases), product(self.states.recipe))

    def _engine(self, folder: Path) -> Engine:
        return Engine(self.states.recipe, folder, self.machine)

    @property
    def _rl(self) -> ReinforcementLearning:
        return rl_stage(self.states.recipe)[1]

    def _ours(self, action: str, folder: Path, doing: Callable[[Engine, tuple[str, ...]], Doing]) -> Iterator[Case]:
        """Ours, and without each saving."""

        def make(without: tuple[str, ...]) -> Callable[[], Action]:
            return lambda: clocked(self.machine, doing(self._engine(folder), without))

        yield Case("ours", "ours", make(()))
        for name in SAVINGS.get(action, ()):
            yield Case(f"without {name}", "saving", make((name,)), with_memory=name in OF_MEMORY)
        for name in ON_GPUS.get(action, ()) if self.machine.device == "cuda" else ():
            yield Case(f"with {name}", "saving", self._also(name, make(())), with_memory=False)
        if action == "stage1":
            yield Case("without any of them", "saving", make(SAVINGS[action]))

    @staticmethod
    def _also(name: str, make: Callable[[], Action]) -> Callable[[], Action]:
        """The action with one more saving."""

        def made() -> Action:
            usual = make()

            def act(step: int) -> Done:
                with savings.using(name):
                    return usual(step)

            return act

        return made

    def _stage_1(self) -> Iterator[Case]:
        folder = self.states.early
        yield from self._ours("stage1", folder, lambda engine, without: engine.stage_1(without=without))
        if self.peers:
            yield Case("transformers training step, padded", "peer", self._padded)

    def _padded(self) -> Action:
        """transformers' update on the same batches."""
        recipe = self.states.recipe
        task = registry.build(recipe.task)
        step_on = TrainingStep(self.states.early, self.machine, task.vocabulary.eos)
        return lambda step: step_on(drawn(recipe, task, step))

    def _rollout(self, folder: Path) -> Iterator[Case]:
        settings = self._rl
        yield from self._ours("rollout", folder, lambda engine, without: engine.rollout(settings, without=without))

        def make() -> Action:
            task = registry.build(self.states.recipe.task)
            generate = Generate(
                peers.load(folder, self.machine, training=False),
                self.machine,
                task.vocabulary.eos,
                task.long_length + 1,
            )
            return lambda step: generate(asked(task, settings.prompts, step), group_size=settings.group_size)

        if self.peers:
            yield Case("transformers generate", "peer", make)

    def _update(self, folder: Path, algorithm: Algorithm, *, coins: bool) -> Iterator[Case]:
        settings = self._rl
        yield from self._ours(
            "update" if algorithm == "grpo" else "update of RLOO",
            folder,
            lambda engine, without: engine.update(settings, algorithm=algorithm, coins=coins, without=without),
        )

        def make() -> Action:
            task = registry.build(self.states.recipe.task)
            return lambda step: trl_peer.update(
                folder,
                self.machine,
                task,
                asked(task, settings.prompts, step),
                group_size=settings.group_size,
                algorithm=algorithm,
            )

        if self.peers:
            yield Case(f"TRL {algorithm.upper()}Trainer", "peer", make)

    def _evaluate(self, folder: Path) -> Iterator[Case]:
        number = self.states.recipe.evaluate.during
        yield from self._ours("evaluate", folder, lambda engine, without: engine.evaluate(number, without=without))

        def make() -> Action:
            engine = self._engine(folder)
            task = engine.task
            generate = Generate(
                peers.load(folder, self.machine, training=False),
                self.machine,
                task.vocabulary.eos,
                task.long_length + 1,
            )

            def both(step: int) -> Done:
                prompts = engine.evaluation_prompts(number, step)
                found = [generate(prompts, greedy=True), generate(prompts)]
                sequences, tokens = (sum(getattr(one.work, key) for one in found) for key in ("sequences", "tokens"))
                return Done(sum(one.seconds for one in found), Work(sequences, tokens))

            return both

        if self.peers:
            yield Case("transformers generate, both", "peer", make)
