"""A case run now, beside what is recorded of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.golden import machine, recording, values
from tests.golden.cases import is_language
from tests.golden.comparing import differences
from tests.golden.values import Recorded


class Outcome(NamedTuple):
    """How a case's run compares with what is recorded."""

    now: Recorded
    """The numbers of the run made now."""
    exact: bool
    """Whether this machine must reproduce every bit; on others a tolerance holds."""
    differences: list[str]
    """One line each."""


def measured(case: str, shared: Path) -> Recorded:
    """The numbers of a case, from a run made now, and this machine; shared: a folder for all cases of a session."""
    return Recorded(machine.describe(language=is_language(case)), recording.numbers_of(case, shared))


def check(case: str, shared: Path) -> Outcome:
    """The outcome of a case that is recorded."""
    recorded, now = values.read(case), measured(case, shared)
    exact = recorded.machine == now.machine
    return Outcome(now, exact, list(differences(case, recorded.numbers, now.numbers, exact=exact)))
