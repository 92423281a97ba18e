"""The command that measures speed and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainlift.cli.app import MOST_STEPS, MOST_WORKERS, Json, Out, Trust, app
from chainlift.report.terminal.console import console, print_json, say


@app.command()
def bench(
    source: Annotated[str, typer.Argument(metavar="[RECIPE]", help="A recipe, whose sizes are measured.")] = "headline",
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Dotted overrides, for example task.d=100.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="A finished run to take both states from; default: the recipe's own in --out.")
    ] = None,
    out: Out = Path("runs"),
    only: Annotated[str, typer.Option(help="Some of the actions.")] = "stage1,rollout,update,evaluate",
    device: Annotated[
        str, typer.Option(help="cpu or cuda; auto: the recipe's, and where that is auto, cuda if it is there.")
    ] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or both; peers compute in the same.")] = "float32",
    threads: Annotated[
        int | None, typer.Option(min=1, max=MOST_WORKERS, help="CPU threads; default: PyTorch's.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_STEPS, help="Repetitions, after one that is not counted: 9; whole runs: 3."),
    ] = None,
    memory: Annotated[bool, typer.Option(help="Peak memory too, each case in a process of its own.")] = True,
    whole: Annotated[
        bool, typer.Option("--whole", help="Whole runs instead, to the page, beside the recipe welded from TRL.")
    ] = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Time the engine against transformers and TRL, and against the machine's limit.

    All in one run, interleaved, as ratios. Two states of one model are timed: after next-token prediction (most
    responses short) and after RL (all long). They come from the recipe's finished run, which is run first if it is
    not there. Peers need the extra `bench`; without it the engine is timed alone.
    """
    from chainlift.bench import command, tables
    from chainlift.report.terminal.reporter import Reporter

    options = command.Options(
        source,
        overrides or [],
        run,
        out,
        command.parse_only(only),
        device,
        command.parse_dtype(dtype),
        threads,
        repeats,
        memory,
        whole,
        trust,
    )
    report = command.measure(options, Reporter(), say)
    if as_json:
        print_json(report.as_dict())
        return
    shown = console()
    if not shown.is_terminal:
        shown.width = tables.WIDTH
    if report.results:
        shown.print(tables.result_table(report.results, report.repeats))
    if report.whole:
        shown.print(tables.whole_table(report.whole))
