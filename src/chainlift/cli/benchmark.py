"""The command that measures speed and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainlift.cli.app import MAX_STEPS, MAX_WORKERS, Json, Out, Trust, app
from chainlift.report.terminal.console import console, print_json, say


@app.command()
def bench(
    source: Annotated[str, typer.Argument(metavar="[RECIPE]", help="The recipe whose sizes are timed.")] = "headline",
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Dotted overrides, for example task.d=100.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="A finished run to take both states from; default: the recipe's own in --out.")
    ] = None,
    out: Out = Path("runs"),
    only: Annotated[str, typer.Option(help="The actions to time, separated by commas.")] = (
        "stage1,rollout,update,evaluate"
    ),
    device: Annotated[
        str, typer.Option(help="cpu or cuda; auto: the recipe's device, and if that is auto, cuda where available.")
    ] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or both; peers use the same.")] = "float32",
    threads: Annotated[
        int | None, typer.Option(min=1, max=MAX_WORKERS, help="CPU threads; default: PyTorch's.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_STEPS, help="Repetitions after a warm-up; default: 9, or 3 with --whole."),
    ] = None,
    memory: Annotated[bool, typer.Option(help="Also measure peak memory, each case in its own process.")] = True,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Time whole runs, page included, beside transformers and TRL."),
    ] = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Time the engine against transformers and TRL, and against the machine's limit.

    Cases are interleaved in one run, and results are ratios. Two states of one model are timed: after next-token
    prediction (most responses short) and after RL (all long). They come from the recipe's finished run, which is made
    first if it is missing. Peers need the extra `bench`; without it the engine is timed alone.
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
    output = console()
    if not output.is_terminal:
        output.width = tables.WIDTH
    if report.results:
        output.print(tables.result_table(report.results, report.repeats))
    if report.whole:
        output.print(tables.whole_table(report.whole))
