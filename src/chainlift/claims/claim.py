"""A claim: the runs that decide it, and the table of checks that turns them into findings with a verdict."""

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
    """What is claimed, the runs that it needs, and what is checked of them."""

    name: str
    statement: str
    runs: Runs
    checks: Sequence[Row]
    """The table: each row gives findings."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """The seeds of its runs unless the command names others."""
    order: int = 1000
    """Its place among all claims, the lowest first: in the document of results, and in the queue of `reproduce --all`,
    where long runs that begin last would keep one worker waiting for the other."""
    in_all: bool = True
    """Whether it is among all claims; not if it needs an extra, and more time than the others."""
    pictures: Callable[[list[Finished]], list[Picture]] = lambda finished: []
    """What shows more than the findings do."""

    def check(self, finished: Sequence[Finished]) -> list[Finding]:
        """What finished runs say, row by row; the findings of one quantity stand side by side."""
        return findings(self.checks, finished)
