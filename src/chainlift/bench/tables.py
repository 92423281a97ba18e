"""The results as rich tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from chainlift.bench.growth import Growth
from chainlift.bench.result import Result, told_seconds
from chainlift.bench.timing import Case, median_seconds, per_second

WIDTH = 130
"""Characters that the widest table needs."""


def result_table(results: Sequence[Result], repeats: int) -> Table:
    """Every case of every comparison."""
    table = Table(
        title=f"repetitions in turn: {repeats}; medians \\[least, most]; limit: the machine's plain matrix products, "
        "measured before each comparison"
    )
    table.add_column("comparison, case", no_wrap=True)
    for heading in ("time", "times the first", "tokens/s", "sequences/s", "memory added", "GFLOP/s of limit"):
        table.add_column(heading, justify="right", no_wrap=heading == "times the first")
    for one in results:
        table.add_row(f"[bold]{one.comparison.title}[/bold]")
        for case in one.comparison.cases:
            table.add_row(*_cells(one, case), style="dim" if case.kind == "saving" else None)
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


def grid_table(results: Sequence[Result]) -> Table:
    """Sizes down, actions across: how many times as long transformers takes."""
    table = Table("size", title="transformers' time as a multiple of ours, medians \\[least, most]")
    by_place = {(one.comparison.state, one.comparison.action, one.comparison.dtype): one for one in results}
    columns = list(dict.fromkeys((action, dtype) for _, action, dtype in by_place))
    for action, dtype in columns:
        table.add_column(f"{action}, {dtype}", justify="right")
    for size in dict.fromkeys(size for size, _, _ in by_place):
        cells = []
        for column in columns:
            one = by_place[size, *column]
            found = one.ratio(one.comparison.cases[-1])
            time = told_seconds(median_seconds(one.own))
            cells.append(f"ours {time}" if found is None else f"{found}, ours {time}")
        table.add_row(size, *cells)
    return table


def growth_table(found: Sequence[Growth]) -> Table:
    """How time grows with each size."""
    table = Table("of", "values", "time at them", "exponent", title="time = a x^b, exponents b with 95 % intervals")
    for one in found:
        times = ", ".join(told_seconds(seconds) for seconds in one.seconds)
        values = ", ".join(f"{value:g}" for value in one.values)
        table.add_row(f"{one.quantity}, in {one.axis}", values, times, one.told)
    return table
