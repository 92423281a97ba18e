"""The application that commands join, and what several of them take."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="chainlift",
    help="A laboratory for one question: what does reinforcement learning add after next-token prediction?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

MOST = 10_000_000  # prompts, responses, digits
MOST_STEPS = 100_000  # of a curve, samples of a prompt
MOST_WORKERS = 4096  # processes, threads, devices
LAST_SEED = 2**63 - 1


def finite(value: float | None) -> float | None:
    """The value of an option; a complaint for one that is not finite, which passes every bound."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on the last line of standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds the run folders.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Import the code (module:name) that the recipe's or checkpoint's file names.")
]
TOGETHER = ("run", "evaluate", "env")


@app.callback()
def _together(context: typer.Context) -> None:
    """Refuse what several processes would each do for themselves, in each other's way."""
    from chainlift import launcher

    command = context.invoked_subcommand
    if launcher.launched_world_size() > 1 and command not in TOGETHER:
        raise ValueError(f"{command} is no work for several processes: torchrun and accelerate are for run, evaluate")
