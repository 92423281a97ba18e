"""Schemas of the files in a run folder: the keys and types that reports rely on, checked when a file is read.

Files have more keys than the schemas name; those are not checked.
"""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge, Len
from pydantic import BaseModel, ConfigDict, model_validator

from chainlift import reading

MEASURED = ("greedy_", "sampled_", "exact_", "decision_", "forced_long_", "long_prefix_")
"""Prefixes of the measured quantities in a stage's summary."""
Limits = Annotated[list[float], Len(2, 2)]

FORM_METRICS = (
    "long_accuracy",
    "short_accuracy",
    "length_mean_right",
    "length_mean_wrong",
    "long_share_right",
    "long_share_wrong",
)
"""Additional metrics of language models: by form, and by whether the answer is right."""


class Shape(BaseModel):
    """Base of the schemas: required keys with strict types; other keys are allowed."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Measured(Shape):
    """Quantities of one mode of decoding, and limits of their 95 % intervals."""

    accuracy: float
    accuracy_ci95: Limits
    length_median: float
    long_share: float


class StageSummary(Shape):
    """A stage's object in summary.json: measurements at its end."""

    seconds: float
    prompts: int
    greedy_accuracy: float
    greedy_accuracy_ci95: Limits
    greedy_length_median: float
    sampled_accuracy: float
    sampled_long_share: float
    algorithm: str = ""

    @model_validator(mode="after")
    def _holds_numbers(self) -> StageSummary:
        for key, value in (self.__pydantic_extra__ or {}).items():
            is_measured = key.startswith(MEASURED)
            if is_measured and (isinstance(value, str) or (key.endswith("_ci95") and not _are_limits(value))):
                raise ValueError(f"{key} does not hold a number")
        return self


class StageFields(BaseModel):
    """A stage's entry under `stages` in summary.json (stage_views.py)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str
    unit: str
    start: str | None
    start_step: int | None = None
    baseline_of: str | None


class Reference(Shape):
    """Curves of theory without noise beside those of a stage of RL (stages/planning/reference.py)."""

    stage: str
    name: str
    by_round: bool
    sequences: list[int]
    sampled_long_share: list[float]
    sampled_accuracy: list[float]
    greedy_accuracy: list[float]


class Theory(Shape):
    """The predictions of theory in summary.json."""

    stages: dict[str, dict[str, Any]] = {}
    reference: Reference | None = None


class Summary(Shape):
    """summary.json."""

    recipe: str
    run_id: str
    seed: int
    stages: Annotated[dict[str, StageFields], Len(1)]
    """By name; each stage also has an object of its name at the top level."""
    theory: Theory
    prompts_held_out: bool = False
    prompts_different: int | None = None
    prompts_seen_share: float | None = None


class Row(Shape):
    """A row of metrics.jsonl."""

    stage: str
    kind: str
    step: int
    sequences: int


class EvaluationRow(Row):
    """A row of kind `evaluation`."""

    greedy: Measured
    sampled: Measured


class ResponseRow(Shape):
    """A row of rollouts.jsonl."""

    stage: str
    kind: str
    mode: str
    step: int
    prompt: str
    response: list[str]
    probabilities: list[float]
    token_right: list[bool]
    answer: bool
    finished: bool
    length: int


class Environment(Shape):
    """environment.json."""

    host: str = ""
    packages: dict[str, str | None] = {}


class Mark(Shape):
    """How far a tracker's mirror of a run is."""

    name: str
    sent: Annotated[int, Ge(0)]
    open: bool


def check(content: dict[str, Any], shape: type[Shape], where: str) -> None:
    """Validate content by a schema; ValueError begins with `where` and names the key."""
    reading.checked(content, shape, where)
    for stage in content["stages"] if shape is Summary else ():
        if stage not in content:
            raise ValueError(f"{where} is damaged: it lacks {stage}")
        reading.checked(content[stage], StageSummary, f"{where}, key {stage},")


def check_row(row: dict[str, Any], where: str) -> None:
    """Validate a row of metrics.jsonl by the schema of its kind."""
    check(row, EvaluationRow if row.get("kind") == "evaluation" else Row, where)


def _are_limits(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == 2 and all(isinstance(limit, int | float) for limit in value)
    )
