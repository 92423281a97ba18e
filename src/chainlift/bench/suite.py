"""The comparisons: each action in each state, chainlift's case first, then the peers'.

In the late state the policy earns nearly every reward, and chainlift's update skips rows without advantage. So the late
update is timed twice: as it is, and with coin flips as rewards, where nearly every group has signal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chainlift.bench import peers, trl_peer
from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine, draw_batch, draw_prompts, product
from chainlift.bench.peers import Generate, TrainingStep
from chainlift.bench.states import States, rl_stage
from chainlift.bench.timing import Action, Case, Comparison, Repetition, UntimedAction, Work, clocked
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.tasks import registry

ACTIONS = ("stage1", "rollout", "update", "evaluate")
COINS = "rewards of coin flips"
Algorithm = Literal["grpo", "rloo"]


@dataclass(frozen=True)
class Suite:
    """All comparisons on one device in one precision."""

    states: States
    machine: Machine
    peers: bool
    only: tuple[str, ...] = ACTIONS

    def comparisons(self) -> Iterator[Comparison]:
        """The comparisons in order; models are loaded only when a case is made."""
        if "stage1" in self.only:
            yield self._comparison("stage1", "", self._next_token_update())
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

    def _ours(self, folder: Path, action_of: Callable[[Engine], UntimedAction]) -> Case:
        return Case("ours", "ours", lambda: clocked(self.machine, action_of(self._engine(folder))))

    def _next_token_update(self) -> Iterator[Case]:
        yield self._ours(self.states.early, Engine.next_token_update)
        if self.peers:
            yield Case("transformers training step, padded", "peer", self._padded)

    def _padded(self) -> Action:
        """The update of transformers on the same batches."""
        recipe = self.states.recipe
        task = registry.build(recipe.task)
        step_on = TrainingStep(self.states.early, self.machine, task)
        return lambda step: step_on(draw_batch(recipe, task, step))

    def _rollout(self, folder: Path) -> Iterator[Case]:
        settings = self._rl
        yield self._ours(folder, lambda engine: engine.rollout(settings))

        def make() -> Action:
            task = registry.build(self.states.recipe.task)
            generate = Generate(peers.load(folder, self.machine, training=False), self.machine, task)
            return lambda step: generate(draw_prompts(task, settings.prompts, step), group_size=settings.group_size)

        if self.peers:
            yield Case("transformers generate", "peer", make)

    def _update(self, folder: Path, algorithm: Algorithm, *, coins: bool) -> Iterator[Case]:
        settings = self._rl
        yield self._ours(folder, lambda engine: engine.update(settings, algorithm=algorithm, coins=coins))

        def make() -> Action:
            task = registry.build(self.states.recipe.task)
            return lambda step: trl_peer.update(
                folder,
                self.machine,
                task,
                draw_prompts(task, settings.prompts, step),
                group_size=settings.group_size,
                algorithm=algorithm,
            )

        if self.peers:
            yield Case(f"TRL {algorithm.upper()}Trainer", "peer", make)

    def _evaluate(self, folder: Path) -> Iterator[Case]:
        num_prompts = self.states.recipe.evaluate.during
        yield self._ours(folder, lambda engine: engine.evaluate(num_prompts))

        def make() -> Action:
            engine = self._engine(folder)
            generate = Generate(peers.load(folder, self.machine, training=False), self.machine, engine.task)

            def generate_both(step: int) -> Repetition:
                prompts = engine.evaluation_prompts(num_prompts, step)
                repetitions = [generate(prompts, greedy=True), generate(prompts)]
                sequences, tokens = (
                    sum(getattr(repetition.work, key) for repetition in repetitions) for key in ("sequences", "tokens")
                )
                return Repetition(sum(repetition.seconds for repetition in repetitions), Work(sequences, tokens))

            return generate_both

        if self.peers:
            yield Case("transformers generate, both", "peer", make)
