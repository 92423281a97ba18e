"""The results as rich tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from chainlift.bench.growth import Growth
from chainlift.bench.result import Result, told_seconds
from chainlift.bench.timing import median_seconds, tokens_per_second


def result_tables(results: Sequence[Result], rates: dict[str, float], repeats: int) -> Iterator[Table]:
    """One table a precision: every case of every comparison."""
    for dtype, rate in rates.items():
        own = [one for one in results if one.comparison.dtype == dtype]
        if not own:
            continue
        table = Table(
            title=f"{dtype}: {repeats} repetitions in turn, medians [least, most]; limit: "
            f"{rate / 1e9:.0f} GFLOP/s of plain matrix products"
        )
        table.add_column("action, state")
        table.add_column("case")
        for heading in ("time", "times ours", "tokens/s", "memory added", "of the limit"):
            table.add_column(heading, justify="right")
        for one in own:
            _add(table, one)
        yield table


def _add(table: Table, result: Result) -> None:
    """The rows of one comparison."""
    title = ", ".join(part for part in (result.comparison.action, result.comparison.state) if part)
    for case in result.comparison.cases:
        done, found = result.done[case.name], result.ratio(case)
        speed, memory = tokens_per_second(done), result.memory.get(case.name)
        used = result.utilisation if case.kind == "ours" else None
        table.add_row(
            title if case.kind == "ours" else "",
            case.name,
            told_seconds(median_seconds(done)),
            "" if found is None else str(found),
            "" if speed is None else f"{speed:,.0f}",
            "" if memory is None else f"{memory / 2**20:,.0f} MiB",
            "" if used is None else f"{used:.0%}",
            style="dim" if case.kind == "saving" else None,
        )
    table.add_section()


def grid_table(results: Sequence[Result]) -> Table:
    """Sizes down, actions across: how many times as long transformers takes."""
    table = Table("size", title="transformers' time as a multiple of ours, medians [least, most]")
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
