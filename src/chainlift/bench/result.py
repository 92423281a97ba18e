"""The result of a comparison, for JSON and as lines of text."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chainlift.bench.machine import Machine, matmul_rate
from chainlift.bench.timing import Case, Comparison, Ratio, Repetition, interleaved, median_seconds, per_second, ratio


@dataclass(frozen=True)
class Result:
    """Repetitions of a comparison's cases, their memory, and the machine's best rate during them."""

    comparison: Comparison
    repetitions: dict[str, list[Repetition]]
    """{case: its repetitions}."""
    memory: dict[str, int] = field(default_factory=dict)
    """{case: bytes added at the peak}."""
    rate: float | None = None
    """Operations per second of plain matrix products; None if not measured."""

    @property
    def ours(self) -> list[Repetition]:
        """The repetitions of the first case, ours."""
        return self.repetitions[self.comparison.cases[0].name]

    def utilization(self, case: Case) -> float | None:
        """Share of our time that the necessary operations take at the machine's rate; None for peers."""
        if self.rate is None or case.kind != "ours":
            return None
        rate = per_second(self.repetitions[case.name], "flops")
        return None if rate is None else rate / self.rate

    def ratio(self, case: Case) -> Ratio | None:
        """Time of a case relative to ours; None for ours."""
        return None if case.kind == "ours" else ratio(self.repetitions[case.name], self.ours)

    def lines(self) -> Iterator[str]:
        """Readable lines: the comparison's title, then a line for each case."""
        yield f"{self.comparison.title}:"
        for case in self.comparison.cases:
            case_ratio, utilization = self.ratio(case), self.utilization(case)
            parts = [format_seconds(median_seconds(self.repetitions[case.name]))]
            parts += [] if case_ratio is None else [f"{case_ratio} times {self.comparison.cases[0].name}"]
            parts += [] if utilization is None else [f"{utilization:.0%} of the machine's limit"]
            yield f"  {case.name}: {', '.join(parts)}"

    def as_dict(self) -> dict[str, Any]:
        """The result for JSON: {action, state, dtype, limit_gflop_per_second, cases}."""
        cases = []
        for case in self.comparison.cases:
            case_ratio, repetitions = self.ratio(case), self.repetitions[case.name]
            cases.append(
                {
                    "name": case.name,
                    "kind": case.kind,
                    "seconds": [repetition.seconds for repetition in repetitions],
                    "seconds_median": median_seconds(repetitions),
                    "ratio": None if case_ratio is None else case_ratio._asdict(),
                    "tokens_per_second": per_second(repetitions, "tokens"),
                    "sequences_per_second": per_second(repetitions, "sequences"),
                    "gflop_needed": statistics.median(repetition.work.flops for repetition in repetitions) / 1e9
                    or None,
                    "utilization": self.utilization(case),
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
    """Run a comparison's cases, and measure the machine's rate before each repetition; the best rate is the limit.

    A single measurement of the rate may fall into a slow moment, which would make our share of the limit too large.
    """
    rates: list[float] = []

    def measure_rate() -> None:
        if comparison.product != (0, 0):
            rates.append(matmul_rate(machine, *comparison.product))

    repetitions = interleaved(comparison.cases, repeats, tick, measure_rate)
    return Result(comparison, repetitions, rate=max(rates, default=None))


def format_seconds(seconds: float) -> str:
    """Seconds as text with a unit; below 1 s in ms."""
    return f"{seconds:.2f} s" if seconds >= 10 else f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
