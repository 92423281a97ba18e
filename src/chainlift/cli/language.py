"""Commands on language models: chainlift llm ..."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainlift.cli.app import LAST_SEED, MOST, MOST_STEPS, Json, Out, app, finite
from chainlift.report.console import console, print_json, say

llm = typer.Typer(
    name="llm",
    help="The same recipe on language models: mixtures of GSM8K, MATH or generated problems, fine-tuning, RL.",
    no_args_is_help=True,
)
app.add_typer(llm)

Source = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name (llm-...), or a .yaml file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Dotted overrides, for example data.path=FOLDER mixture.p_cot=.1."),
]
Seeds = Annotated[str | None, typer.Option(help="Several seeds in turn: 0-4, or 0,2,5.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved recipe and its cost; run nothing.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Delete this run's folder first (a shared fine-tuning stays).")]


@llm.command()
def prepare(
    source: Source,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Look at the data before training: the mixture, an example of each form, and what test shares with training."""
    from chainlift.llm import preparing, recipe

    found = preparing.look(recipe.load(source, overrides))
    print_json(found) if as_json else say("\n".join(preparing.lines(found)))


@llm.command()
def finetune(
    source: Source,
    overrides: Overrides = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    dry_run: DryRun = False,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Stage 1: supervised fine-tuning on the mixture, measured; RL begins from it."""
    _run(source, [*(overrides or []), "posttrain=null"], seeds, out, dry_run, fresh, as_json)


@llm.command()
def posttrain(
    source: Source,
    overrides: Overrides = None,
    seeds: Seeds = None,
    out: Out = Path("runs"),
    dry_run: DryRun = False,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Both stages: fine-tuning, unless a run that agrees on it has done it, then RL; measured before and after."""
    _run(source, overrides, seeds, out, dry_run, fresh, as_json)


@llm.command()
def evaluate(
    target: Annotated[str, typer.Argument(metavar="MODEL", help="A run folder, a checkpoint, or any model's folder.")],
    overrides: Overrides = None,
    recipe: Annotated[
        str | None, typer.Option(help="Problems, template and grader, for a model that no run here has made.")
    ] = None,
    problems: Annotated[int | None, typer.Option(min=1, max=MOST, help="How many; default: the recipe's.")] = None,
    split: Annotated[str, typer.Option(help="test or train.")] = "test",
    temperature: Annotated[float | None, typer.Option(min=0.01, callback=finite, help="Of the sampled half.")] = None,
    pass_at_k: Annotated[
        int | None, typer.Option(min=1, max=MOST_STEPS, help="Samples of each problem for pass@k.")
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="Responses of each kind to print.")] = 0,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Which problems and samples.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure a model, greedy and sampled: accuracy, length, long share, of the right and the wrong, pass@k."""
    from chainlift import processes
    from chainlift.llm import evaluating
    from chainlift.report.terminal import evaluation_table

    if split not in ("test", "train"):
        raise ValueError(f"--split: {split!r} is neither test nor train")
    what = evaluating.target(target, recipe, overrides)
    count = problems or what.recipe.evaluate.prompts
    table, found = evaluating.evaluate(
        what,
        problems=count,
        temperature=temperature,
        pass_at_k=None if pass_at_k is None else (count, pass_at_k),
        split=split,
        seed=seed,
    )
    if not processes.is_first():
        return
    if as_json:
        print_json(table)
        return
    console().print(evaluation_table(table))
    for mode, judged in found.items():
        for one in judged[:show]:
            verdict = "right" if one.is_right else f"wrong, expected {one.problem.answer}"
            say(f"\n{mode}, {verdict}: {one.problem.question}\n{one.response.text.strip()}")


def _run(
    source: str,
    overrides: list[str] | None,
    seeds: str | None,
    out: Path,
    dry_run: bool,
    fresh: bool,
    as_json: bool,
) -> None:
    from chainlift import processes
    from chainlift.llm import pipeline, preparing, recipe
    from chainlift.overrides import parse_seeds
    from chainlift.report.over_seeds import over_seeds, seeds_table
    from chainlift.report.terminal import Reporter, summary_table

    chosen = [recipe.load(source, overrides, seed=seed) for seed in (parse_seeds(seeds) if seeds else [None])]
    if dry_run:
        for one in chosen:
            say("\n".join(preparing.plan(one, out)))
        return
    summaries = []
    for one in chosen:
        summary = pipeline.run(one, out, Reporter(), fresh=fresh)
        summaries.append(summary)
        if not processes.is_first():
            continue
        if as_json:
            print_json(summary)
        else:
            console().print(summary_table(summary))
            say(f"report: {out / one.run_id / 'report.html'}")
    if len(summaries) > 1 and not as_json and processes.is_first():
        console().print(seeds_table(over_seeds(summaries)))
