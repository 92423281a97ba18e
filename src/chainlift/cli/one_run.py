"""Commands on one recipe, one run or one checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from chainlift.cli.app import LAST_SEED, MOST, MOST_STEPS, Json, Out, Trust, app, finite
from chainlift.report.terminal.console import console, print_json, say

ALGORITHM_HELP = "Of the reference curve: an algorithm's name, such as star or grpo; a wrong one is answered with all."
Checkpoint = Annotated[
    Path,
    typer.Argument(
        help="A checkpoint folder, or a run folder (its last checkpoint). With --recipe also a folder or hub name that "
        "transformers opens."
    ),
]
OfText = Annotated[
    str | None, typer.Option("--recipe", help="Problems and grader, for a language model that no run here has made.")
]


@app.command()
def recipes() -> None:
    """List the shipped recipes, one line each; those named llm-... train language models (extra llm)."""
    from chainlift.stages import recipe

    found = {name: recipe.load(name).title for name in recipe.shipped()}
    width = max(map(len, found))
    for name, title in found.items():
        say(f"{name:{width}s}  {title}")


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
        bool,
        typer.Option(
            "--fresh",
            help="Empty this run's folder first and train all of its stages again.",
        ),
    ] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Under torchrun: divide weights and averages between the processes.")
    ] = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Run a recipe from beginning to end, or go on with it where it stopped; by torchrun, on several processes."""
    from chainlift import distributed
    from chainlift.overrides import parse_seeds
    from chainlift.report.over_seeds import over_seeds, seeds_table
    from chainlift.report.pages import last_page
    from chainlift.report.terminal.reporter import Reporter, summary_table
    from chainlift.stages import pipeline, recipe

    numbers = parse_seeds(seeds) if seeds else [None]
    chosen = [recipe.load(source, overrides, seed=seed, trust=trust) for seed in numbers]
    if dry_run:
        for one in chosen if distributed.is_rank0() else ():
            say(pipeline.plan(one, out))
        return
    reporter, summaries = Reporter(), []
    for one in chosen:
        result = pipeline.run(one, out, reporter, fresh=fresh, page=last_page.written, shard=shard)
        if not distributed.is_rank0():
            continue
        summaries.append(result.summary)
        if as_json:
            print_json(result.summary)
        else:
            console().print(summary_table(result.summary))
            if result.report is not None:
                say(f"report: {result.report}")
    if len(summaries) > 1 and not as_json:
        console().print(seeds_table(over_seeds(summaries)))


@app.command()
def theory(
    modulus: Annotated[int, typer.Option(max=MOST, help="K, 2 and more: sums are taken modulo K; 2 is parity.")] = 2,
    p_cot: Annotated[float, typer.Option(callback=finite, help="Share of long demonstrations, 0 to 1.")] = 0.25,
    temperature: Annotated[
        float, typer.Option(callback=finite, help="Of sampling, and of RL's scoring; 1e-6 to 1e9.")
    ] = 1.0,
    chain_accuracy: Annotated[
        float,
        typer.Option(callback=finite, help="q: a long response is right throughout, else it ends in a guess; 0 to 1."),
    ] = 1.0,
    reward: Annotated[
        str, typer.Option(help="end_to_end (the answer counts) or chain (all of it does).")
    ] = "end_to_end",
    algorithm: Annotated[str, typer.Option(help=ALGORITHM_HELP)] = "grpo",
    marker: Annotated[bool, typer.Option("--marker", help="Demonstrations open with a token of their form.")] = False,
    digits: Annotated[int, typer.Option("-d", "--digits", max=MOST, help="Digits of a prompt.")] = 50,
    group_size: Annotated[int, typer.Option(max=MOST_STEPS, help="Samples per prompt.")] = 8,
    updates: Annotated[int, typer.Option(max=MOST_STEPS, help="Length of the reference curve, but of star's.")] = 60,
    step: Annotated[float, typer.Option(callback=finite, help="Log-odds that an update of it moves.")] = 0.1,
    plot: Annotated[Path | None, typer.Option(help="Draw phase diagram and curves into a .png, .pdf or .html.")] = None,
    as_json: Json = False,
) -> None:
    """Predict what a run will find, before it starts: nothing is trained. The argument stands in docs/theory.md."""
    from chainlift.learning.presets import preset
    from chainlift.report.terminal.theory_table import theory_table
    from chainlift.theory.forecast import forecast
    from chainlift.theory.mode_policy import Setting

    setting = Setting(modulus, digits, marker, chain_accuracy, reward, temperature)  # pyright: ignore[reportArgumentType]
    row = preset(algorithm)
    told = forecast(setting, p_cot, algorithm=row, name=algorithm, group_size=group_size, updates=updates, step=step)
    if plot is not None:
        from chainlift.report.figures import theory_picture

        theory_picture.write(plot, setting, told)
    if as_json:
        print_json(told)
    else:
        console().print(theory_table(told))
        if plot is not None:
            say(f"figure: {plot}")


@app.command()
def evaluate(
    target: Checkpoint,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the task to change, such as d=60: longer prompts."),
    ] = None,
    prompts: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="How many; default: 4096, or what a language model's recipe measures."),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.01, callback=finite, help="Of the sampled half.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Which prompts and samples.")] = 0,
    recipe: OfText = None,
    split: Annotated[str, typer.Option(help="Of a language model's problems: test or train.")] = "test",
    pass_at_k: Annotated[
        int | None, typer.Option(min=1, max=MOST_STEPS, help="Of a language model: samples of each problem for pass@k.")
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Measure a checkpoint, greedy and sampled, on held-out prompts where its task has such."""
    from chainlift import distributed
    from chainlift.report.terminal.reporter import evaluation_table
    from chainlift.stages import inspect

    table = inspect.evaluate(
        target,
        prompts,
        temperature=temperature,
        seed=seed,
        changes=changes,
        recipe=recipe,
        split=split,
        pass_at_k=pass_at_k,
        trust=trust,
    )
    if not distributed.is_rank0():
        return
    if as_json:
        print_json(table)
    else:
        console().print(evaluation_table(table))


@app.command()
def sample(
    target: Checkpoint,
    prompt: Annotated[
        str | None, typer.Argument(help="The prompt's digits, or a question in words; default: one is drawn.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="The most likely tokens instead of sampled ones.")] = False,
    count: Annotated[int, typer.Option("-n", min=1, max=MOST, help="How many responses.")] = 4,
    temperature: Annotated[float, typer.Option(min=0.01, callback=finite, help="Of sampling.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Which samples, and which prompt.")] = 0,
    recipe: OfText = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Show generated tokens and their probabilities."""
    from chainlift.report.terminal.reporter import response_lines
    from chainlift.stages import inspect

    options: dict[str, Any] = {"temperature": temperature, "seed": seed, "recipe": recipe, "trust": trust}
    found = inspect.sample(target, prompt, greedy=greedy, count=count, **options)
    if as_json:
        print_json(found)
    else:
        shown = console()
        for line in response_lines(found):
            shown.print(line)


@app.command()
def env(as_json: Json = False) -> None:
    """Print versions, device and threads, for a bug report."""
    from chainlift.runs import environment

    found = environment.describe()
    if (note := environment.device_note("auto")) is not None:
        print(note, file=sys.stderr)
    if as_json:
        print_json(found)
        return
    flat: dict[str, Any] = {**found, **found["packages"]}
    flat.pop("packages")
    for key, value in flat.items():
        say(f"{key:20s} {value}")
