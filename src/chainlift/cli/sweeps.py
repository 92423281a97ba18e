"""Commands on many runs: sweeps, claims, pages and progress."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainlift.cli.app import MAX_WORKERS, Json, Out, Trust, app, finite
from chainlift.report.terminal.console import console, print_json, say

Launcher = Annotated[str, typer.Option(help="local, ray or slurm.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_WORKERS, help="Runs at once; default: one per core, on a cluster as many as fit."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, max=MAX_WORKERS, help="CPU threads per run; default: cores / workers, or --cpus.")
]
Address = Annotated[str | None, typer.Option(help="ray: HOST:PORT of a cluster; default: start one here.")]
Cpus = Annotated[float, typer.Option(max=MAX_WORKERS, callback=finite, help="ray, slurm: CPUs per run.")]
Gpus = Annotated[float, typer.Option(max=MAX_WORKERS, callback=finite, help="ray, slurm: GPUs per run.")]
Partition = Annotated[str | None, typer.Option(help="slurm: partition of the jobs.")]
Minutes = Annotated[int | None, typer.Option(min=1, max=10**7, help="slurm: longest time of a job; default: 240.")]
Memory = Annotated[float | None, typer.Option("--memory-gb", max=10**6, callback=finite, help="slurm: GB per run.")]


@app.command()
def sweep(
    source: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a .yaml file.")],
    axes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=A,B,C]...", help="Values of a key: a list a,b,c, a range 1..5, or one value."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds: 0-4, or 0,2,5.")] = "0",
    zipped: Annotated[
        bool, typer.Option("--zip", help="Vary the axes together, like a table's columns: not every combination.")
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

    Finished runs are skipped, so that the same command goes on after Ctrl-C, kill -9 or a lost machine. Runs with the
    same first stages share them.
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
    recipes = expand(source, axes or [], parse_seeds(seeds), zipped=zipped, trust=trust)
    if dry_run:
        to_do = grid.without_failed(recipes, out, retry=retry)
        expected = progress.costs(to_do, out, Reporter(), threads=options.threads_per_job)
        total = progress.total_line(expected, of=len(recipes), workers=options.max_running)
        lines = [*progress.cost_lines(expected, out), total]
        print_json(expected) if as_json else say("\n".join(lines))
        return
    unfinished = [] if status else grid.run_all(recipes, out, Reporter(), options, retry=retry)
    rows = progress.rows(recipes, out)
    print_json([asdict(row) for row in rows]) if as_json else say("\n".join(progress.table(rows)))
    if unfinished:
        raise RunsFailed(grid.unfinished_line(unfinished, len(recipes), out))


@app.command()
def reproduce(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CLAIM]...", help="Names of claims.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All claims except those on language models.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Small runs of the same shape, for a first look.")] = False,
    seeds: Annotated[
        str | None, typer.Option(help="At least two seeds: 0-4, or 0,2,5; default: each claim's own.")
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
        Path | None, typer.Option(help="Also write all claims of OUT/claims into a Markdown document.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the runs that claims need, and print theory's predictions beside the measurements.

    Without a name, list the claims. Finished runs are not made again; tables and figures go to OUT/claims.
    """
    from chainlift.claims import registry
    from chainlift.overrides import parse_seeds
    from chainlift.report.claim_outcome import Outcome
    from chainlift.report.documents import results_document
    from chainlift.report.terminal.claim_table import claim_lines
    from chainlift.report.terminal.reporter import Reporter
    from chainlift.stages.failures import RunsFailed
    from chainlift.sweep import reproduce as reproducing
    from chainlift.sweep import status as progress
    from chainlift.sweep.launchers import Options

    options = Options(launcher, workers, threads, address, cpus, gpus, partition, minutes, memory)
    claims = [claim for claim in registry.CLAIMS.values() if claim.in_all] if every else registry.claims_of(names or [])
    seed_list, reporter = parse_seeds(seeds) if seeds else None, Reporter()
    if not claims:
        for claim in registry.CLAIMS.values():
            say(f"{claim.name:16s} {claim.statement}")
    if dry_run:
        by_claim = reproducing.needed_recipes(claims, seeds=seed_list, quick=quick)
        recipes = reproducing.distinct_recipes(by_claim)
        expected = progress.costs(recipes, out, reporter, threads=options.threads_per_job)
        lines = progress.claim_cost_lines(by_claim, expected, out)
        total = progress.total_line(expected, of=len(recipes), workers=options.max_running)
        print_json(expected) if as_json else say("\n".join([*lines, total]))
        return

    def show(outcome: Outcome) -> None:
        if as_json:
            print_json(outcome.as_dict())
        else:
            lines = [f"{outcome.claim}: {outcome.statement}", *claim_lines(outcome.findings)]
            say("\n".join([*lines, f"{outcome.claim}: {outcome.verdict}", ""]))

    failed = reproducing.reproduce(claims, out, reporter, options, seeds=seed_list, quick=quick, on_outcome=show)
    if document is not None:
        written = results_document.write(document, out / "claims", list(registry.CLAIMS))
        reporter.say(f"{document}: {', '.join(written)}")
    if failed:
        raise RunsFailed(f"not judged: {', '.join(failed)}; the same command tries them again")


@app.command()
def report(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Run folders, or folders that hold them, such as runs.")
    ],
    document: Annotated[
        Path | None, typer.Option(help="Also write each run, with its one seed, into a Markdown document of results.")
    ] = None,
) -> None:
    """Write an offline page: report.html of a run folder, index.html of a folder that holds runs.

    A run's page comes with its figures as pdf, png and csv. A folder's page shows claims with interactive figures and
    a table of runs that can be searched and sorted, with each run's details.
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
    every: Annotated[float, typer.Option(min=0.1, max=86400, callback=finite, help="Seconds between updates.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Show the table once, and end.")] = False,
    as_json: Json = False,
) -> None:
    """Show running sweeps in the terminal: each run's progress and its last measurements. Ends with Ctrl-C.

    It only reads files: start and end it at any time, also on another machine that sees the folder. --json reads once.
    """
    import time
    from dataclasses import asdict

    from chainlift.report.terminal import watch as watching
    from chainlift.runs.progress import Watcher

    watcher = Watcher(out)
    if as_json:
        print_json([asdict(run) for run in watcher.poll()])
    elif once:
        console().print(watching.table(watcher.poll(), watching.Pace(), time.monotonic()))
    else:
        watching.watch(watcher, console(), every)
