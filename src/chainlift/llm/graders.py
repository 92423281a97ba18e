"""stub until the helper's arrives"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

GraderName = Literal["exact", "math"]


@dataclass(frozen=True)
class Grade:
    is_right: bool


class Grader(Protocol):
    def grade_all(self, completions: Sequence[str], answers: Sequence[str]) -> list[Grade]: ...
    def counts(self) -> dict[str, int]: ...
    def close(self) -> None: ...


class Exact:
    def grade_all(self, completions, answers):
        return [
            Grade(c.rpartition("####")[2].strip() == a.strip() and "####" in c)
            for c, a in zip(completions, answers, strict=True)
        ]

    def counts(self):
        return {}

    def close(self):
        pass


def grader(name):
    return Exact()
