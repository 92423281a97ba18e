"""What came out of a comparison, as numbers for JSON and as lines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chainlift.bench.machine import Machine, matmul_rate
from chainlift.bench.timing import Case, Comparison, Done, Ratio, in_turn, median_seconds, per_second, ratio


@dataclass(frozen=True)
class Result:
    """The repetitions of a comparison's cases, their memory, and the best rate of this machine meanwhile."""

    comparison: Comparison
    done: dict[str, list[Done]]
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes added at the peak, by case."""
    rate: float | None = None
    """Operations a second of plain matrix products."""

    @property
    def own(self) -> list[Done]:
        """The repetitions of the first case, ours."""
        return self.done[self.comparison.cases[0].name]

    def utilisation(self, case: Case) -> float | None:
        """The share of our time that the necessary operations take at the machine's rate; None for peers."""
        if self.rate is None or case.kind != "ours":
            return None
        rate = per_second(self.done[case.name], "flops")
        return None if rate is None else rate / self.rate

    def ratio(self, case: Case) -> Ratio | None:
        """How many times as long as ours the case takes; None for ours."""
        return None if case.kind == "ours" else ratio(self.done[case.name], self.own)

    def lines(self) -> Iterator[str]:
        """For people, as soon as it is there."""
        yield f"{self.comparison.title}:"
        for case in self.comparison.cases:
            found, used = self.ratio(case), self.utilisation(case)
            told = [told_seconds(median_seconds(self.done[case.name]))]
            told += [] if found is None else [f"{found} times {self.comparison.cases[0].name}"]
            told += [] if used is None else [f"{used:.0%} of the machine's limit"]
            yield f"  {case.name}: {', '.join(told)}"

    def as_dict(self) -> dict[str, Any]:
        """{action, state, dtype, limit_gflop_per_second, cases} for JSON."""
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
                    "tokens_per_second": per_second(done, "tokens"),
                    "sequences_per_second": per_second(done, "sequences"),
                    "gflop_needed": statistics.median(one.work.flops for one in done) / 1e9 or None,
                    "utilisation": self.utilisation(case),
                    "peak_bytes_added": self.memory.get(case.name),
                }
            )
        return {
            "action": self.comparison.action,
            "state": self.comparison.state,
            "dtype": self.comparison.dtype,
            "limit_gflop_per_second": None if self.rate is None else self.rate / 1e9,
            "cases": cases,
        }


def measure(comparison: Comparison, machine: Machine, repeats: int, tick: Callable[[], None] = lambda: None) -> Result:
    """The repetitions of a comparison's cases, and its limit: the best rate between them.

    A single look may fall into a moment in which the machine is slow, and would make our share of the limit too large.
    """
    rates: list[float] = []

    def look() -> None:
        if comparison.product != (0, 0):
            rates.append(matmul_rate(machine, *comparison.product))

    done = in_turn(comparison.cases, repeats, tick, look)
    return Result(comparison, done, rate=max(rates, default=None))


def told_seconds(seconds: float) -> str:
    """Seconds for people, in ms where they are few."""
    return f"{seconds:.2f} s" if seconds >= 10 else f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
