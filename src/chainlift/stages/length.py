"""Length of a stage of next-token prediction: a number of steps, or the tokens that an earlier stage processed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from chainlift import distributed
from chainlift.runs import checkpoint
from chainlift.stages.stage import Stage


class Length(Stage):
    """A stage that learns from demonstrations, for a number of steps or of tokens."""

    STEPS: ClassVar[int] = 400
    """Default number of updates."""

    steps: int | None = Field(default=None, ge=1)
    """Number of updates; null: STEPS, or as many as match_tokens needs."""
    match_tokens: str | None = None
    """Train on as many tokens as this earlier stage processed, as its baseline. Keys that such a stage does not set are
    those of the stage that it starts from."""
    token_ratio: float = Field(default=1.0, gt=0)
    """Factor of these tokens."""

    @model_validator(mode="before")
    @classmethod
    def _has_a_length(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("steps") is None and content.get("match_tokens") is None:
            return content | {"steps": cls.STEPS}
        return content

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if self.steps is not None and self.match_tokens is not None:
            raise ValueError("match_tokens decides how many steps there are; leave steps out")
        return self

    @property
    def total_steps(self) -> int | None:
        """Number of updates; None if another stage's tokens decide it."""
        return None if self.match_tokens is not None else self.steps

    def needed_tokens(self, checkpoints: Path) -> float | None:
        """Prompt and output tokens that the stage must process; None if its number of steps is set."""
        if self.match_tokens is None:
            return None
        other = self.match_tokens
        return distributed.run_on_rank0(lambda: checkpoint.end(checkpoints, other)).tokens * self.token_ratio
