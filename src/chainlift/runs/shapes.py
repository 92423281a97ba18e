"""What the files of a run folder must hold for reports to be made of them: keys and types, checked when they are read.

Only what every reader relies on is named. Files hold more, which is kept as it is.
"""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge, Len
from pydantic import BaseModel, ConfigDict, model_validator

from chainlift import reading

MEASURED = ("greedy_", "sampled_", "exact_", "decision_", "forced_long_", "long_prefix_")
"""How the names of what was measured begin, in a stage's summary."""
Limits = Annotated[list[float], Len(2, 2)]

FORM_METRICS = (
    "long_accuracy",
    "short_accuracy",
    "length_mean_right",
    "length_mean_wrong",
    "long_share_right",
    "long_share_wrong",
)
"""What is measured of answers in words beside the rest."""


class Shape(BaseModel):
    """Keys that must be there; others may be."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Measured(Shape):
    """Quantities of one mode, and their 95 % limits."""

    accuracy: float
    accuracy_ci95: Limits
    length_median: float
    long_share: float


class StageSummary(Shape):
    """What was measured at the end of a stage."""

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
                raise ValueError(f"{key} holds no number")
        return self


class StageAbout(BaseModel):
    """What a stage is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: str
    unit: str
    start: str | None
    start_step: int | None = None
    baseline_of: str | None


class Theory(Shape):
    """What theory predicts."""

    stages: dict[str, dict[str, Any]] = {}


class Summary(Shape):
    """summary.json."""

    recipe: str
    run_id: str
    seed: int
    stages: Annotated[dict[str, StageAbout], Len(1)]
    """Names of the stages, each of which has an object of its own beside."""
    theory: Theory
    prompts_held_out: bool = False
    prompts_different: int | None = None
    prompts_seen_share: float | None = None


class Row(Shape):
    """A line of metrics.jsonl."""

    stage: str
    kind: str
    step: int
    sequences: int


class EvaluationRow(Row):
    """A line of kind `evaluation`."""

    greedy: Measured
    sampled: Measured


class ResponseRow(Shape):
    """A line of rollouts.jsonl."""

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


def check(found: dict[str, Any], kind: type[Shape], where: str) -> None:
    """ValueError that says `where` and names the key, unless `found` is of the kind."""
    reading.checked(found, kind, where)
    for stage in found["stages"] if kind is Summary else ():
        if stage not in found:
            raise ValueError(f"{where} is damaged: it lacks {stage}")
        reading.checked(found[stage], StageSummary, f"{where}, key {stage},")


def check_row(row: dict[str, Any], where: str) -> None:
    """`check` of a line of metrics.jsonl by its kind."""
    check(row, EvaluationRow if row.get("kind") == "evaluation" else Row, where)


def _are_limits(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == 2 and all(isinstance(one, int | float) for one in value)
    )
