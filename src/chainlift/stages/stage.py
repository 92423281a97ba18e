"""What every stage of a recipe is: strict settings that can train, and where in a run it is carried out.

A kind of stage is one file: a subclass of `Stage` whose fields are its settings and whose `train` is its loop. Recipes
name it by `kind` (stages/kind_registry.py).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from chainlift.learning import reward as rewards
from chainlift.models import families
from chainlift.runs.checkpoint import TrainerState
from chainlift.settings import NOT_HASHED, Settings
from chainlift.tasks.base import Task
from chainlift.tasks.mixture import MixtureSettings
from chainlift.text.task import TextTask

if TYPE_CHECKING:
    from chainlift.measure.evaluate import EvaluateSettings
    from chainlift.stages.recipe import Recipe


class KeepEvery(Settings):
    """Keep the checkpoints of every so many steps."""

    every: int = Field(ge=1)
    """Steps between two kept checkpoints."""


Keep = Literal["last", "all"] | list[int] | KeepEvery


class Stage(Settings):
    """One stage of a recipe; a kind adds its own settings and says how it trains."""

    FIXED: ClassVar[frozenset[str]] = frozenset()
    """Keys that the kind fixes, though the class that it builds on has them: an override that chooses the kind leaves
    out what the recipe said of them."""

    kind: str
    """Which kind of stage it is: a registered name, or `package.module:Class`."""
    title: str = Field(default="training", json_schema_extra=NOT_HASHED)
    """What the stage does, for pages and the terminal."""
    unit: str = Field(default="sequences", json_schema_extra=NOT_HASHED)
    """What its sequences are, for the axes of figures."""
    start: str | None = None
    """Where its weights come from: the stage before it (if nothing is said), `name`, `name@step`, the folder of a
    checkpoint, or null for fresh weights."""
    mixture: MixtureSettings | None = None
    """The mixture of this stage; null: the recipe's."""
    keep: Keep = Field(default="last", json_schema_extra=NOT_HASHED)
    """Checkpoints that stay after the stage: the last, all that are written, those of some steps, or `{every: n}`."""
    checkpoint_every: int = Field(default=25, ge=1, json_schema_extra=NOT_HASHED)
    """Steps (of RL: rounds) between two checkpoints from which an interrupted run goes on."""

    @field_validator("keep", mode="before")
    @classmethod
    def _keep_is_understood(cls, value: Any) -> Any:
        steps = value if isinstance(value, list) else [0]
        if isinstance(value, dict) and value.keys() == {"every"}:
            steps = [value["every"]]
        is_positive = all(type(step) is int and step > 0 for step in steps)
        if not (value in ("last", "all") or isinstance(value, KeepEvery) or is_positive):
            raise ValueError("must be last, all, a list of steps, or {every: n}")
        return value

    @property
    def total_steps(self) -> int | None:
        """Updates of the stage; None if only its start decides."""
        return None

    def check(self, recipe: Recipe, task: Task | TextTask) -> None:
        """ValueError in one line if the stage cannot learn the recipe's task; by default, if that is one of text."""
        if isinstance(task, TextTask):
            raise ValueError(f"kind {self.kind!r} learns tasks of symbols; of text it is trl_sft or trl_rl")
        if getattr(self, "optimizer", "") == "muon":
            families.check_muon(recipe.model, task)
        if (reward := getattr(self, "reward", None)) is not None:
            rewards.check(reward, task)

    def measuring_keys(self, part: str, settings: Settings) -> frozenset[str]:
        """Keys of a part of the recipe, `task` or `model`, that decide how it is measured and not its weights."""
        return frozenset()

    @abstractmethod
    def train(self, context: Any, place: Place) -> None:
        """Carry the stage out from its newest checkpoint to its end, recording and keeping through `context`."""

    def counts(self, state: TrainerState) -> dict[str, Any]:
        """What a summary says of how far the stage went."""
        return {"steps": state.step, "sequences": state.sequences}

    def prompts_drawn(self, state: TrainerState) -> int:
        """Prompts that the stage has drawn."""
        return state.sequences

    def rows_in_memory(self) -> dict[str, int]:
        """{settings that decide it: rows of tokens that an update holds at least}."""
        return {}

    def seconds(self, stopwatch: Any) -> float | None:
        """Seconds that its steps take here, from a few timed ones (timing.py, trl/timing.py); None: no estimate."""
        return None

    def num_evaluations(self, evaluate: EvaluateSettings) -> tuple[int, int]:
        """(evaluations inside the stage, evaluations of the full number of prompts)."""
        return 0, 1

    def can_stop(self, step: int) -> bool:
        """Whether a checkpoint can be of this step."""
        return True

    def keeps(self, step: int) -> bool:
        """Whether a checkpoint of this step stays, and is written for that reason."""
        if isinstance(self.keep, list):
            return step in self.keep
        return isinstance(self.keep, KeepEvery) and step % self.keep.every == 0 and self.can_stop(step)


@dataclass(frozen=True)
class Place:
    """Where in a run a stage is carried out."""

    name: str
    """The stage's name, which its records, checkpoints and random streams carry."""
    digest: str
    """What identifies its weights."""
    stage: Stage
    start: Path | None
    """The checkpoint that it begins with; None: fresh weights."""
    after: Path | None
    """The last checkpoint of the stage that is on record before it; None: it is the first."""
    mixture: MixtureSettings
    """Of its demonstrations."""
    continues: bool = False
    """It goes on with what its start did, by the same optimizer, whose averages it takes over."""
    needed: frozenset[int] = frozenset()
    """Steps that other stages begin with."""

    @property
    def title(self) -> str:
        """What the stage does, in words."""
        return self.stage.title + (" goes on" if getattr(self.stage, "match_tokens", None) is not None else "")

    def keeps(self, *steps: int) -> bool:
        """Whether a checkpoint of one of these steps must be written."""
        return any(step in self.needed or self.stage.keeps(step) for step in steps)

    def stays(self, step: int) -> bool:
        """Whether a checkpoint that is not the last stays."""
        return self.stage.keep == "all" or self.keeps(step)
