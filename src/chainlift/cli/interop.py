"""Commands that export a model or a recipe's data to other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainlift.cli.app import Trust, app

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="A checkpoint folder, or a run folder (its last checkpoint).")],
    folder: Folder,
    trust: Trust = False,
) -> None:
    """Write a model, with a card, as a folder that AutoModelForCausalLM and AutoTokenizer of transformers open."""
    from chainlift.interop import export

    export.export(target, folder, trust=trust)
    print(folder)


@app.command()
def dataset(
    source: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a .yaml file.")],
    folder: Folder,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Dotted overrides, for example task.d=20 mixture.p_cot=.1."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Number of demonstrations, and of prompts for RL; default: 10,000, or all problems."),
    ] = None,
    test_size: Annotated[
        int | None, typer.Option(min=1, help="Number of test prompts; default: 1,000, or all test problems.")
    ] = None,
    trust: Trust = False,
) -> None:
    """Write a recipe's data as a Hugging Face data set with its reward and a card, for TRL, verl and others."""
    from chainlift.interop import dataset
    from chainlift.stages.recipe import load

    recipe = load(source, overrides, trust=trust)
    dataset.write(dataset.from_recipe(recipe, size, test_size), folder)
    print(folder)
