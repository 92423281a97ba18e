"""The results as rich tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich.table import Table

from chainlift.bench.result import Result, told_seconds
from chainlift.bench.timing import Case, median_seconds, per_second
from chainlift.bench.whole import OURS, WELD, Whole

WIDTH = 144
"""Characters that the widest table needs."""


def result_table(results: Sequence[Result], repeats: int) -> Table:
    """Every case of every comparison."""
    table = Table(
        title=f"repetitions in turn: {repeats}; medians \\[least, most]; limit: the machine's plain matrix products, "
        "the best of those measured before each repetition"
    )
    table.add_column("comparison, case", no_wrap=True)
    for heading in ("time", "times the first", "tokens/s", "sequences/s", "memory added", "GFLOP/s of limit"):
        table.add_column(heading, justify="right", no_wrap=heading == "times the first")
    for one in results:
        table.add_row(f"[bold]{one.comparison.title}[/bold]")
        for case in one.comparison.cases:
            table.add_row(*_cells(one, case))
        table.add_section()
    return table


def _cells(result: Result, case: Case) -> Iterator[str]:
    """The row of a case."""
    done, found = result.done[case.name], result.ratio(case)
    memory, used = result.memory.get(case.name), result.utilisation(case)
    yield f"  {case.name}"
    yield told_seconds(median_seconds(done))
    yield "" if found is None else str(found)
    for quantity in ("tokens", "sequences"):
        speed = per_second(done, quantity)
        yield "" if speed is None else f"{speed:,.0f}"
    yield "" if memory is None else f"{memory / 2**20:,.0f} MiB"
    rate = per_second(done, "flops")
    yield (
        ""
        if used is None or rate is None or not result.rate
        else (f"{rate / 1e9:,.0f} of {result.rate / 1e9:,.0f}, {used:.0%}")
    )


def whole_table(whole: Whole) -> Table:
    """Whole runs: what each side took at the median, the ratios, and what came out."""
    table = Table(title="whole runs in turn: medians \\[least, most] over seeds")
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
    return f"{middle:,.{digits}f} \\[{low:,.{digits}f}, {high:,.{digits}f}]"
