"""The base of all stages, strict settings that can train, and their place in a run.

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
from chainlift.settings import NOT_HASHED, ONLY_MEASURES, Settings
from chainlift.tasks.base import Task
from chainlift.tasks.mixture import MixtureSettings
from chainlift.text.task import TextTask

if TYPE_CHECKING:
    from chainlift.measure.evaluate import EvaluateSettings
    from chainlift.stages.recipe import Recipe


class KeepEvery(Settings):
    """Keep the checkpoints of every n-th step."""

    every: int = Field(ge=1)
    """Steps between two kept checkpoints."""


Keep = Literal["last", "all"] | list[int] | KeepEvery


class Stage(Settings):
    """One stage of a recipe; a kind adds settings and implements `train`."""

    FIXED: ClassVar[frozenset[str]] = frozenset()
    """Keys of the base class that the kind fixes: an override that chooses the kind drops the recipe's values."""

    kind: str
    """The kind of stage: a registered name, or `package.module:Class`."""
    title: str = Field(default="training", json_schema_extra=NOT_HASHED)
    """Description of the stage for pages and the terminal."""
    unit: str = Field(default="sequences", json_schema_extra=NOT_HASHED)
    """Name of its sequences, for the axes of figures."""
    start: str | None = None
    """Source of its weights: `name`, `name@step`, the folder of a checkpoint, or null for fresh weights; default: the
    stage before it."""
    mixture: MixtureSettings | None = None
    """The mixture of this stage; null: the recipe's."""
    keep: Keep = Field(default="last", json_schema_extra=NOT_HASHED)
    """Checkpoints to keep after the stage: last, all, a list of steps, or `{every: n}`."""
    checkpoint_every: int = Field(default=25, ge=1, json_schema_extra=NOT_HASHED)
    """Steps (in RL: rounds) between two checkpoints from which an interrupted run resumes."""

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
        """Number of updates; None if it depends on another stage."""
        return None

    def check(self, recipe: Recipe, task: Task | TextTask) -> None:
        """ValueError in one line if the stage cannot teach the recipe's model its task."""
        if recipe.by_trl:
            raise ValueError(f"kind {self.kind!r} trains models of our own engine; for text choose model.family=llama")
        if getattr(self, "optimizer", "") == "muon" and not isinstance(task, TextTask):
            families.check_muon(recipe.model, task)
        if (reward := getattr(self, "reward", None)) is not None:
            rewards.check(reward, task)

    def measuring_keys(self, part: str, settings: Settings) -> frozenset[str]:
        """Keys of a part of the recipe, `task` or `model`, that decide measurements but not the weights."""
        fields = type(settings).model_fields.items()
        return frozenset(key for key, field in fields if field.json_schema_extra == ONLY_MEASURES)

    @abstractmethod
    def train(self, context: Any, place: Place) -> None:
        """Train from the newest checkpoint to the end; records and checkpoints go through `context`."""

    def counts(self, state: TrainerState) -> dict[str, Any]:
        """Counts of steps and samples for the summary."""
        return {"steps": state.step, "sequences": state.sequences}

    def prompts_drawn(self, state: TrainerState) -> int:
        """Number of prompts that the stage has drawn."""
        return state.sequences

    def rows_in_memory(self) -> dict[str, int]:
        """{the settings that decide it: fewest rows of tokens in memory during an update}."""
        return {}

    def seconds(self, stopwatch: Any) -> float | None:
        """Seconds of its steps on this machine, from a few timed ones (timing.py, trl/timing.py); None: no estimate."""
        return None

    def num_evaluations(self, evaluate: EvaluateSettings) -> tuple[int, int]:
        """(evaluations within the stage, evaluations of the full number of prompts)."""
        return 0, 1

    def can_stop(self, step: int) -> bool:
        """Whether a checkpoint can be written at this step."""
        return True

    def keeps(self, step: int) -> bool:
        """Whether `keep` requires a checkpoint at this step."""
        if isinstance(self.keep, list):
            return step in self.keep
        return isinstance(self.keep, KeepEvery) and step % self.keep.every == 0 and self.can_stop(step)


@dataclass(frozen=True)
class Place:
    """A stage's place in a run: its start, neighbors and mixture."""

    name: str
    """The stage's name, also that of its records, checkpoints and random streams."""
    digest: str
    """Digest of all that decides its weights."""
    stage: Stage
    start: Path | None
    """The checkpoint that it starts from; None: fresh weights."""
    after: Path | None
    """The last checkpoint of the stage before it in the record; None: it is the first."""
    mixture: MixtureSettings
    """The mixture of its demonstrations."""
    continues: bool = False
    """Whether it continues its start with the same kind and optimizer, whose state it takes over."""
    needed: frozenset[int] = frozenset()
    """Steps that other stages start from."""

    @property
    def title(self) -> str:
        """Description of the stage."""
        return self.stage.title + (" goes on" if getattr(self.stage, "match_tokens", None) is not None else "")

    def keeps(self, *steps: int) -> bool:
        """Whether a checkpoint must be written at one of these steps."""
        return any(step in self.needed or self.stage.keeps(step) for step in steps)

    def stays(self, step: int) -> bool:
        """Whether to keep a checkpoint that is not the last."""
        return self.stage.keep == "all" or self.keeps(step)
