"""Rich tables of the results."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich.table import Table

from chainlift.bench.result import Result, format_seconds
from chainlift.bench.timing import Case, median_seconds, per_second
from chainlift.bench.whole import OURS, WELD, Whole
from chainlift.report.terminal.console import plain

WIDTH = 144
"""Characters that the widest table needs."""


def result_table(results: Sequence[Result], repeats: int) -> Table:
    """Table of every case of every comparison."""
    table = Table(
        title=plain(
            f"interleaved repetitions: {repeats}; medians [least, most]; limit: the machine's plain matrix "
            "products, the best of those measured before each repetition"
        )
    )
    table.add_column("comparison, case", no_wrap=True)
    for heading in ("time", "times the first", "tokens/s", "sequences/s", "memory added", "GFLOP/s of limit"):
        table.add_column(heading, justify="right", no_wrap=heading == "times the first")
    for result in results:
        table.add_row(plain(result.comparison.title, "bold"))
        for case in result.comparison.cases:
            table.add_row(*_cells(result, case))
        table.add_section()
    return table


def _cells(result: Result, case: Case) -> Iterator[str]:
    """Cells of a case's row."""
    repetitions, case_ratio = result.repetitions[case.name], result.ratio(case)
    memory, utilization = result.memory.get(case.name), result.utilization(case)
    yield f"  {case.name}"
    yield format_seconds(median_seconds(repetitions))
    yield "" if case_ratio is None else str(case_ratio)
    for quantity in ("tokens", "sequences"):
        speed = per_second(repetitions, quantity)
        yield "" if speed is None else f"{speed:,.0f}"
    yield "" if memory is None else f"{memory / 2**20:,.0f} MiB"
    rate = per_second(repetitions, "flops")
    yield (
        ""
        if utilization is None or rate is None or not result.rate
        else (f"{rate / 1e9:,.0f} of {result.rate / 1e9:,.0f}, {utilization:.0%}")
    )


def whole_table(whole: Whole) -> Table:
    """Table of whole runs: time and memory of each side, their ratios, and accuracies."""
    table = Table(title=plain("interleaved whole runs: medians [least, most] over seeds"))
    table.add_column("", no_wrap=True)
    sides = [side for side in (OURS, WELD) if whole.of(side)]
    for heading in (*sides, "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    quantities = (
        ("wall_seconds", "wall time, s", 1),
        ("core_seconds", "core seconds", 1),
        ("peak_bytes", "MiB", 2**20),
    )
    for quantity, title, unit in quantities:
        cells = [_spread([getattr(run, quantity) / unit for run in whole.of(side)], 1) for side in sides]
        table.add_row(title, *cells, str(whole.ratio(quantity) or ""))
    for stage in whole.runs[0].accuracies:
        for mode in ("greedy", "sampled"):
            cells = [_spread([run.accuracies[stage][mode] for run in whole.of(side)], 3) for side in sides]
            table.add_row(f"{mode} accuracy after the stage {stage}", *cells, "")
    return table


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"
