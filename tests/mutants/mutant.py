"""A seeded mutant: a careless change of one place of the source, with the tests that are expected to notice it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`text`, which stands in the file once, replaced."""

    name: str
    file: str
    """Below src/chainlift."""
    text: str
    replacement: str
    tests: str
    """What pytest is given, with blanks between; the first failure ends it."""
