"""The command line: one command a verb, no logic."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

app = typer.Typer(
    name="chainlift",
    help="A laboratory for one question: what does reinforcement learning add after next-token prediction?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on the last line of standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds the run folders.")]
Target = Annotated[Path, typer.Argument(help="A run folder, or a checkpoint folder inside one.")]
ALGORITHM_HELP = "Of the reference curve: star, reinforce, rloo, grpo, dr_grpo, dapo, gspo or cispo."
CheckpointArgument = Annotated[Path, typer.Argument(help="A checkpoint folder, or a run folder (its last checkpoint).")]


@app.command()
def recipes() -> None:
    """List the shipped recipes, one line each."""
    from chainlift import recipe

    width = max(map(len, recipe.shipped()))
    for name in recipe.shipped():
        print(f"{name:{width}s}  {recipe.load(name).title}")


@app.command()
def run(
    source: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a .yaml file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Dotted overrides, for example posttrain.algorithm=star seed=3."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Several seeds in turn: 0-4, or 0,2,5.")] = None,
    out: Out = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe, its size and its folder; run nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete this run's folder first and begin again (a shared stage 1 stays).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a recipe from beginning to end, or go on with it where it stopped."""
    from chainlift import recipe
    from chainlift.report.over_seeds import over_seeds, seeds_table
    from chainlift.report.terminal import Reporter, summary_table
    from chainlift.stages import pipeline

    chosen = [recipe.load(source, overrides, seed=seed) for seed in (recipe.parse_seeds(seeds) if seeds else [None])]
    if dry_run:
        for one in chosen:
            print(pipeline.plan(one, out))
        return
    reporter, summaries = Reporter(), []
    for one in chosen:
        result = pipeline.run(one, out, reporter, fresh=fresh)
        summaries.append(result.summary)
        if as_json:
            print(json.dumps(result.summary))
        else:
            Console().print(summary_table(result.summary))
            print(f"report: {result.report}")
    if len(summaries) > 1 and not as_json:
        Console().print(seeds_table(over_seeds(summaries)))


@app.command()
def theory(
    modulus: Annotated[int, typer.Option(help="K, 2 and more: sums are taken modulo K; 2 is parity.")] = 2,
    p_cot: Annotated[float, typer.Option(help="Share of long demonstrations, 0 to 1.")] = 0.25,
    temperature: Annotated[float, typer.Option(help="Of sampling, and of RL's scoring; 1e-6 to 1e9.")] = 1.0,
    chain_accuracy: Annotated[
        float, typer.Option(help="q: a long response is right throughout, else it ends in a guess; 0 to 1.")
    ] = 1.0,
    reward: Annotated[
        str, typer.Option(help="end_to_end (the answer counts) or chain (all of it does).")
    ] = "end_to_end",
    algorithm: Annotated[str, typer.Option(help=ALGORITHM_HELP)] = "grpo",
    marker: Annotated[bool, typer.Option("--marker", help="Demonstrations open with a token of their form.")] = False,
    digits: Annotated[int, typer.Option("-d", "--digits", help="Digits of a prompt.")] = 50,
    group_size: Annotated[int, typer.Option(help="Samples per prompt.")] = 8,
    updates: Annotated[int, typer.Option(help="Length of the reference curve, but of star's.")] = 60,
    step: Annotated[float, typer.Option(help="Log-odds that an update of it moves.")] = 0.1,
    plot: Annotated[Path | None, typer.Option(help="Draw phase diagram and curves into a .png or .pdf.")] = None,
    as_json: Json = False,
) -> None:
    """Predict what a run will find, before it starts: nothing is trained. The argument stands in docs/theory.md."""
    from chainlift.report.theory_table import theory_table
    from chainlift.theory.forecast import forecast
    from chainlift.theory.mode_policy import Setting

    setting = Setting(modulus, digits, marker, chain_accuracy, reward, temperature)  # pyright: ignore[reportArgumentType]
    told = forecast(setting, p_cot, algorithm=algorithm, group_size=group_size, updates=updates, step=step)
    if plot is not None:
        from chainlift.report import theory_figure

        theory_figure.write(plot, setting, told)
    if as_json:
        print(json.dumps(told, allow_nan=False))
    else:
        Console().print(theory_table(told))
        if plot is not None:
            print(f"figure: {plot}")


@app.command()
def evaluate(
    target: CheckpointArgument,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the task to change, such as d=60: longer prompts."),
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Fresh prompts.")] = 4096,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the sampled half.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Which fresh prompts and samples.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure a checkpoint on fresh prompts, greedy and sampled."""
    from chainlift.report.terminal import evaluation_table
    from chainlift.stages import inspect

    table = inspect.evaluate(target, prompts, temperature=temperature, seed=seed, changes=changes)
    if as_json:
        print(json.dumps(table))
    else:
        Console().print(evaluation_table(table))


@app.command()
def sample(
    target: CheckpointArgument,
    prompt: Annotated[str | None, typer.Argument(help="The prompt's digits; default: a fresh prompt.")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="The most likely tokens instead of sampled ones.")] = False,
    count: Annotated[int, typer.Option("-n", min=1, help="How many responses.")] = 4,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of sampling.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Which samples, and which fresh prompt.")] = 0,
    as_json: Json = False,
) -> None:
    """Show generated tokens and their probabilities."""
    from chainlift.report.terminal import response_lines
    from chainlift.stages import inspect

    found = inspect.sample(target, prompt, greedy=greedy, count=count, temperature=temperature, seed=seed)
    if as_json:
        print(json.dumps(found))
    else:
        console = Console(highlight=False)
        for line in response_lines(found):
            console.print(line)


@app.command()
def report(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Run folders, or folders that hold them, such as runs.")
    ],
) -> None:
    """Write an offline page: report.html of a run folder, index.html of a folder that holds runs.

    A run's page comes with its figures as pdf, png and csv. The page of a folder has its claims with interactive
    figures, a table of its runs that can be searched and sorted, and every run behind it.
    """
    from chainlift.report import results_page

    for path in paths:
        print(results_page.write_any(path))


@app.command()
def reproduce(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CLAIM]...", help="Names of claims.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every claim.")] = False,
    seeds: Annotated[str, typer.Option(help="At least two: 0-4, or 0,2,5.")] = "0-4",
    out: Out = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs that a claim needs; run nothing.")] = False,
    document: Annotated[
        Path | None, typer.Option(help="Also write a Markdown document of all claims that OUT/claims holds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run what a claim needs over its seeds, and print what theory says beside what was measured.

    Without a name, list the claims. What is done already is not run again; tables go to OUT/claims.
    """
    from chainlift.recipe import parse_seeds
    from chainlift.report import results_document
    from chainlift.report.claim_table import claim_lines
    from chainlift.report.terminal import Reporter
    from chainlift.sweep import claims, registry

    chosen = list(registry.CLAIMS.values()) if every else registry.named(names or [])
    if not chosen:
        for claim in registry.CLAIMS.values():
            print(f"{claim.name:16s} {claim.statement}")
    for claim in chosen:
        if dry_run:
            for one in claim.runs(parse_seeds(seeds)):
                print(f"{claim.name}  {out / one.run_id}")
            continue
        outcome = claims.reproduce(claim, parse_seeds(seeds), out, Reporter())
        if as_json:
            print(json.dumps(outcome.as_dict(), allow_nan=False))
        else:
            print("\n".join([*claim_lines(outcome.findings), f"{claim.name}: {outcome.verdict}"]))
    if document is not None and not dry_run:
        print(f"{document}: {', '.join(results_document.write(document, out / 'claims', list(registry.CLAIMS)))}")


@app.command()
def export(
    target: CheckpointArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Write a folder that AutoModelForCausalLM and AutoTokenizer of transformers open."""
    from chainlift.stages import inspect

    inspect.export(target, folder)
    print(folder)


@app.command()
def env(as_json: Json = False) -> None:
    """Print versions, device and threads, for a bug report."""
    from chainlift.runs import environment

    found = environment.describe()
    if as_json:
        print(json.dumps(found))
        return
    flat: dict[str, Any] = {**found, **found["packages"]}
    flat.pop("packages")
    for key, value in flat.items():
        print(f"{key:20s} {value}")


def main() -> None:
    """Run the command line; bad input ends with status 2, a failure while running with 1, Ctrl-C with 130."""
    try:
        sys.exit(app(standalone_mode=False))
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        from chainlift.stages.failures import explain

        status, line = explain(error)
        if line:
            print(line, file=sys.stderr)
        sys.exit(status)
