"""A claim: its statement, the runs that it needs, and the table of checks that turns them into findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainlift.claims.check import Row, findings
from chainlift.claims.finished import Finished
from chainlift.claims.grid import Runs
from chainlift.measure.finding import Finding
from chainlift.report.figures.picture import Picture


@dataclass(frozen=True)
class Claim:
    """A statement about training, the runs that test it, and the checks on those runs."""

    name: str
    statement: str
    runs: Runs
    checks: Sequence[Row]
    """The table of checks; each row gives findings."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """The seeds of its runs unless the command names others."""
    order: int = 1000
    """Its position among all claims, the lowest first: in the document of results, and in the queue of `reproduce
    --all`. Claims with long runs come early there, so that no worker idles at the end."""
    in_all: bool = True
    """Whether `reproduce --all` includes it; off for a claim that needs an extra and much time."""
    pictures: Callable[[list[Finished]], list[Picture]] = lambda finished: []
    """Draws figures beyond the one of the findings."""

    def check(self, finished: Sequence[Finished]) -> list[Finding]:
        """The findings of all checks on finished runs, grouped by quantity."""
        return findings(self.checks, finished)
