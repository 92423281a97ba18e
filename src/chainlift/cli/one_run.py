"""Commands on one recipe, one run or one checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from chainlift.cli.app import MAX_COUNT, MAX_SEED, MAX_STEPS, Json, Out, Trust, app, finite
from chainlift.report.terminal.console import console, print_json, say

ALGORITHM_HELP = "Algorithm of the reference curve, such as star or grpo; an unknown name lists all."
Checkpoint = Annotated[
    Path,
    typer.Argument(
        help="A checkpoint folder, or a run folder (its last checkpoint). With --recipe also a folder or hub name that "
        "transformers opens."
    ),
]
TextRecipe = Annotated[
    str | None,
    typer.Option("--recipe", help="The recipe with problems and grader, for a language model from elsewhere."),
]


@app.command()
def recipes() -> None:
    """List the shipped recipes, one line each; those named llm-... train language models (extra llm)."""
    from chainlift.stages.recipe import load, shipped

    titles = {name: load(name).title for name in shipped()}
    width = max(map(len, titles))
    for name, title in titles.items():
        say(f"{name:{width}s}  {title}")


@app.command()
def run(
    source: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a .yaml file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Dotted overrides, for example posttrain.algorithm=star seed=3."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Several seeds, one after the other: 0-4, or 0,2,5.")] = None,
    out: Out = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe, its size and its folder; run nothing.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Empty the run's folder first, and train all of its stages again.",
        ),
    ] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="Under torchrun: divide weights and averages among the processes.")
    ] = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Run a recipe from beginning to end, or continue it where it stopped; under torchrun, in several processes."""
    from chainlift import distributed
    from chainlift.overrides import parse_seeds
    from chainlift.report.over_seeds import over_seeds, seeds_table
    from chainlift.report.pages import last_page
    from chainlift.report.terminal.reporter import Reporter, summary_table
    from chainlift.stages import pipeline
    from chainlift.stages.recipe import load

    seed_list = parse_seeds(seeds) if seeds else [None]
    seed_recipes = [load(source, overrides, seed=seed, trust=trust) for seed in seed_list]
    if dry_run:
        for recipe in seed_recipes if distributed.is_rank0() else ():
            say(pipeline.plan(recipe, out))
        return
    reporter, summaries = Reporter(), []
    for recipe in seed_recipes:
        result = pipeline.run(recipe, out, reporter, fresh=fresh, page=last_page.written, shard=shard)
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
    modulus: Annotated[int, typer.Option(max=MAX_COUNT, help="K >= 2: sums are taken modulo K; 2 is parity.")] = 2,
    p_cot: Annotated[float, typer.Option(callback=finite, help="Share of long demonstrations, 0 to 1.")] = 0.25,
    temperature: Annotated[
        float, typer.Option(callback=finite, help="Temperature of sampling, and of RL's scoring; 1e-6 to 1e9.")
    ] = 1.0,
    chain_accuracy: Annotated[
        float,
        typer.Option(
            callback=finite,
            help="q, 0 to 1: probability that a long response is right throughout; otherwise its answer is a guess.",
        ),
    ] = 1.0,
    reward: Annotated[
        str, typer.Option(help="end_to_end (the answer must be right) or chain (every token must be).")
    ] = "end_to_end",
    algorithm: Annotated[str, typer.Option(help=ALGORITHM_HELP)] = "grpo",
    marker: Annotated[bool, typer.Option("--marker", help="A token for its form opens each demonstration.")] = False,
    digits: Annotated[int, typer.Option("-d", "--digits", max=MAX_COUNT, help="Digits of a prompt.")] = 50,
    group_size: Annotated[int, typer.Option(max=MAX_STEPS, help="Samples per prompt.")] = 8,
    updates: Annotated[
        int, typer.Option(max=MAX_STEPS, help="Updates of the reference curve; star's has its own length.")
    ] = 60,
    step: Annotated[float, typer.Option(callback=finite, help="Change of log-odds in one of its updates.")] = 0.1,
    plot: Annotated[Path | None, typer.Option(help="Draw phase diagram and curves into a .png, .pdf or .html.")] = None,
    as_json: Json = False,
) -> None:
    """Predict the results of a run without training. docs/theory.md has the derivation."""
    from chainlift.learning.presets import preset
    from chainlift.report.terminal.theory_table import theory_table
    from chainlift.theory.forecast import forecast
    from chainlift.theory.mode_policy import Setting

    setting = Setting(modulus, digits, marker, chain_accuracy, reward, temperature)  # pyright: ignore[reportArgumentType]
    prediction = forecast(
        setting,
        p_cot,
        algorithm=preset(algorithm),
        name=algorithm,
        group_size=group_size,
        updates=updates,
        step=step,
    )
    if plot is not None:
        from chainlift.report.figures import theory_picture

        theory_picture.write(plot, setting, prediction)
    if as_json:
        print_json(prediction)
    else:
        console().print(theory_table(prediction))
        if plot is not None:
            say(f"figure: {plot}")


@app.command()
def evaluate(
    target: Checkpoint,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the task to change, such as d=60."),
    ] = None,
    prompts: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_COUNT, help="Number of prompts; default: 4096, or that of a language recipe."),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.01, callback=finite, help="Temperature of sampling.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of prompts and samples.")] = 0,
    recipe: TextRecipe = None,
    split: Annotated[str, typer.Option(help="Problems for a language model: test or train.")] = "test",
    pass_at_k: Annotated[
        int | None, typer.Option(min=1, max=MAX_STEPS, help="Language model: samples of each problem for pass@k.")
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Measure a checkpoint's greedy and sampled responses, on held-out prompts if its task has them."""
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
        str | None, typer.Argument(help="The prompt's digits, or a question in words; default: a random prompt.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Take the most likely tokens instead of sampling.")] = False,
    count: Annotated[int, typer.Option("-n", min=1, max=MAX_COUNT, help="Number of responses.")] = 4,
    temperature: Annotated[float, typer.Option(min=0.01, callback=finite, help="Temperature of sampling.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of samples and of a random prompt.")] = 0,
    recipe: TextRecipe = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Show responses of a checkpoint, token by token, with probabilities."""
    from chainlift.report.terminal.reporter import response_lines
    from chainlift.stages import inspect

    options: dict[str, Any] = {"temperature": temperature, "seed": seed, "recipe": recipe, "trust": trust}
    responses = inspect.sample(target, prompt, greedy=greedy, count=count, **options)
    if as_json:
        print_json(responses)
    else:
        output = console()
        for line in response_lines(responses):
            output.print(line)


@app.command()
def env(as_json: Json = False) -> None:
    """Print versions, device and threads, for a bug report."""
    from chainlift.runs import environment

    description = environment.describe()
    if (note := environment.device_note("auto")) is not None:
        print(note, file=sys.stderr)
    if as_json:
        print_json(description)
        return
    flat: dict[str, Any] = {**description, **description["packages"]}
    flat.pop("packages")
    for key, value in flat.items():
        say(f"{key:20s} {value}")
