"""What came out of a comparison, as numbers for JSON and as lines."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chainlift.bench.timing import Case, Comparison, Done, Ratio, median_seconds, ratio, tokens_per_second


@dataclass(frozen=True)
class Result:
    """The repetitions of a comparison's cases, their memory, and this machine's rate."""

    comparison: Comparison
    done: dict[str, list[Done]]
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes added at the peak, by case."""
    rate: float | None = None
    """Operations a second of plain matrix products."""

    @property
    def own(self) -> list[Done]:
        """Our repetitions."""
        return self.done["ours"]

    @property
    def utilisation(self) -> float | None:
        """The time that the necessary operations would take at the machine's rate, as a share of ours."""
        if self.rate is None or not all(one.work.flops for one in self.own):
            return None
        return statistics.median(one.work.flops / self.rate / one.seconds for one in self.own)

    def ratio(self, case: Case) -> Ratio | None:
        """How many times as long as ours the case takes; None for ours."""
        return None if case.kind == "ours" else ratio(self.done[case.name], self.own)

    def lines(self) -> Iterator[str]:
        """For people, as soon as it is there."""
        used = "" if self.utilisation is None else f", {self.utilisation:.0%} of the machine's limit"
        yield f"{self.comparison.title}: ours {told_seconds(median_seconds(self.own))}{used}"
        for case in self.comparison.cases:
            found = self.ratio(case)
            if found is not None:
                yield f"  {case.name}: {found} times ours"

    def as_dict(self) -> dict[str, Any]:
        """{action, state, dtype, gflop, utilisation, cases} for JSON."""
        needed = statistics.median(one.work.flops for one in self.own)
        cases = []
        for case in self.comparison.cases:
            found, done = self.ratio(case), self.done[case.name]
            cases.append(
                {
                    "name": case.name,
                    "kind": case.kind,
                    "seconds": [one.seconds for one in done],
                    "seconds_median": median_seconds(done),
                    "ratio": None if found is None else found._asdict(),
                    "tokens_per_second": tokens_per_second(done),
                    "peak_bytes_added": self.memory.get(case.name),
                }
            )
        return {
            "action": self.comparison.action,
            "state": self.comparison.state,
            "dtype": self.comparison.dtype,
            "gflop_needed": needed / 1e9 or None,
            "utilisation": self.utilisation,
            "cases": cases,
        }


def told_seconds(seconds: float) -> str:
    """Seconds for people, in ms where they are few."""
    return f"{seconds:.2f} s" if seconds >= 10 else f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
