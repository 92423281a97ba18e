"""Commands on many runs: sweeps, claims, reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainlift.cli.app import MOST_WORKERS, Json, Out, Trust, app, finite
from chainlift.report.terminal.console import console, print_json, say

Launcher = Annotated[str, typer.Option(help="local, ray or slurm.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_WORKERS, help="Runs at once; default: one a core, on a cluster as many as fit."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, max=MOST_WORKERS, help="CPU threads a run; default: cores / workers, or --cpus.")
]
Address = Annotated[str | None, typer.Option(help="ray: HOST:PORT of a cluster; default: one is started.")]
Cpus = Annotated[float, typer.Option(max=MOST_WORKERS, callback=finite, help="ray, slurm: CPUs a run.")]
Gpus = Annotated[float, typer.Option(max=MOST_WORKERS, callback=finite, help="ray, slurm: GPUs a run.")]
Partition = Annotated[str | None, typer.Option(help="slurm: where jobs are queued.")]
Minutes = Annotated[int | None, typer.Option(min=1, max=10**7, help="slurm: longest time of a job; default 240.")]
Memory = Annotated[float | None, typer.Option("--memory-gb", max=10**6, callback=finite, help="slurm: GB a run.")]


@app.command()
def sweep(
    source: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a .yaml file.")],
    axes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=A,B,C]...", help="Values of a key: a list a,b,c, a range 1..5, or one for all."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="0-4, or 0,2,5.")] = "0",
    zipped: Annotated[
        bool, typer.Option("--zip", help="Axes side by side, like a table's columns, instead of every combination.")
    ] = False,
    launcher: Launcher = "local",
    workers: Workers = None,
    threads: Threads = None,
    address: Address = None,
    cpus: Cpus = 1,
    gpus: Gpus = 0,
    partition: Partition = None,
    minutes: Minutes = None,
    memory: Memory = None,
    out: Out = Path("runs"),
    retry: Annotated[bool, typer.Option("--retry", help="Try failed runs again.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs to do with their expected time; run nothing.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Show how far the sweep is; run nothing.")] = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Run a recipe over a grid of settings and seeds, here, on a Ray cluster or through Slurm.

    Runs that are done are skipped, so that the same command goes on after Ctrl-C, kill -9 or a lost machine. Runs that
    agree on next-token prediction share its checkpoint.
    """
    from dataclasses import asdict

    from chainlift.overrides import parse_seeds
    from chainlift.report.terminal.reporter import Reporter
    from chainlift.stages.failures import RunsFailed
    from chainlift.sweep import grid
    from chainlift.sweep import status as progress
    from chainlift.sweep.axes import expand
    from chainlift.sweep.launchers import Options

    options = Options(launcher, workers, threads, address, cpus, gpus, partition, minutes, memory)
    chosen = expand(source, axes or [], parse_seeds(seeds), zipped=zipped, trust=trust)
    if dry_run:
        wanted = grid.wanted(chosen, out, retry=retry)
        expected = progress.costs(wanted, out, Reporter(), threads=options.threads_each)
        total = progress.total_line(expected, of=len(chosen), workers=options.at_once)
        lines = [*progress.cost_lines(expected, out), total]
        print_json(expected) if as_json else say("\n".join(lines))
        return
    failed = [] if status else grid.run_all(chosen, out, Reporter(), options, retry=retry)
    rows = progress.rows(chosen, out)
    print_json([asdict(row) for row in rows]) if as_json else say("\n".join(progress.table(rows)))
    if failed:
        raise RunsFailed(grid.complaint(failed, len(chosen), out))


@app.command()
def reproduce(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CLAIM]...", help="Names of claims.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every claim but those on language models.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Small runs of the same shape, for a first look.")] = False,
    seeds: Annotated[
        str | None, typer.Option(help="At least two: 0-4, or 0,2,5. Default: each claim's own, three or five.")
    ] = None,
    launcher: Launcher = "local",
    workers: Workers = None,
    threads: Threads = None,
    address: Address = None,
    cpus: Cpus = 1,
    gpus: Gpus = 0,
    partition: Partition = None,
    minutes: Minutes = None,
    memory: Memory = None,
    out: Out = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs to do with their expected time; run nothing.")
    ] = False,
    document: Annotated[
        Path | None, typer.Option(help="Also put all claims that OUT/claims holds into a Markdown document.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run what claims need over their seeds, and print what theory says beside what was measured.

    Without a name, list the claims. What is done already is not run again; tables and figures go to OUT/claims.
    """
    from chainlift.claims import registry
    from chainlift.overrides import parse_seeds
    from chainlift.report.claim_outcome import Outcome
    from chainlift.report.documents import results_document
    from chainlift.report.terminal.claim_table import claim_lines
    from chainlift.report.terminal.reporter import Reporter
    from chainlift.stages.failures import RunsFailed
    from chainlift.sweep import reproduce as claims
    from chainlift.sweep import status as progress
    from chainlift.sweep.launchers import Options

    options = Options(launcher, workers, threads, address, cpus, gpus, partition, minutes, memory)
    chosen = [claim for claim in registry.CLAIMS.values() if claim.in_all] if every else registry.named(names or [])
    numbers, reporter = parse_seeds(seeds) if seeds else None, Reporter()
    if not chosen:
        for claim in registry.CLAIMS.values():
            say(f"{claim.name:16s} {claim.statement}")
    if dry_run:
        wanted = claims.needed(chosen, seeds=numbers, quick=quick)
        every_run = claims.all_of(wanted)
        expected = progress.costs(every_run, out, reporter, threads=options.threads_each)
        told = progress.claim_cost_lines(wanted, expected, out)
        total = progress.total_line(expected, of=len(every_run), workers=options.at_once)
        print_json(expected) if as_json else say("\n".join([*told, total]))
        return

    def tell(outcome: Outcome) -> None:
        if as_json:
            print_json(outcome.as_dict())
        else:
            lines = [f"{outcome.claim}: {outcome.statement}", *claim_lines(outcome.findings)]
            say("\n".join([*lines, f"{outcome.claim}: {outcome.verdict}", ""]))

    failed = claims.reproduce(chosen, out, reporter, options, seeds=numbers, quick=quick, tell=tell)
    if document is not None:
        told = results_document.write(document, out / "claims", list(registry.CLAIMS))
        reporter.say(f"{document}: {', '.join(told)}")
    if failed:
        raise RunsFailed(f"not judged: {', '.join(failed)}; the same command tries them again")


@app.command()
def report(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Run folders, or folders that hold them, such as runs.")
    ],
    document: Annotated[
        Path | None, typer.Option(help="Also put each of the runs, one seed each, into a Markdown document of results.")
    ] = None,
) -> None:
    """Write an offline page: report.html of a run folder, index.html of a folder that holds runs.

    A run's page comes with its figures as pdf, png and csv. The page of a folder has its claims with interactive
    figures, a table of its runs that can be searched and sorted, and every run behind it.
    """
    from chainlift.report.documents import results_document
    from chainlift.report.pages import results_page

    for path in paths:
        say(str(results_page.write_any(path)))
        if document is not None:
            say(f"{document}: {results_document.write_run(document, path)}")


@app.command()
def watch(
    out: Annotated[Path, typer.Argument(metavar="[RUNS]", help="Folder that holds the run folders.")] = Path("runs"),
    every: Annotated[float, typer.Option(min=0.1, max=86400, callback=finite, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    as_json: Json = False,
) -> None:
    """Show running sweeps in the terminal: how far each run is, and what it last measured. Ends with Ctrl-C.

    It only reads: start and end it at any time, also on another machine that sees the folder. --json looks once.
    """
    import time
    from dataclasses import asdict

    from chainlift.report.terminal import watch as watching
    from chainlift.runs.progress import Watcher

    watcher = Watcher(out)
    if as_json:
        print_json([asdict(one) for one in watcher.poll()])
    elif once:
        console().print(watching.table(watcher.poll(), watching.Pace(), time.monotonic()))
    else:
        watching.watch(watcher, console(), every)
