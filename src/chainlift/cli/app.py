"""The typer application, with options and limits that several commands share."""

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

MAX_COUNT = 10_000_000  # prompts, responses, digits
MAX_STEPS = 100_000  # steps of a curve, samples of a prompt
MAX_WORKERS = 4096  # processes, threads, devices
MAX_SEED = 2**63 - 1


def finite(value: float | None) -> float | None:
    """The value of an option; BadParameter for nan and infinity, which typer's bounds let through."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on the last line of standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds the run folders.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Import the code (module:name) that the recipe's or checkpoint's file names.")
]
MULTI_PROCESS = ("run", "evaluate", "env")
"""Commands that torchrun and accelerate may start in several processes."""


@app.callback()
def _check_processes(context: typer.Context) -> None:
    """ValueError if several processes run a command for one process: each would do the same work."""
    from chainlift import launcher

    command = context.invoked_subcommand
    if launcher.launched_world_size() > 1 and command not in MULTI_PROCESS:
        raise ValueError(f"{command} runs in one process: torchrun and accelerate are for run and evaluate")
