"""The command that lists tasks and shows examples of one."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from chainlift.cli.app import Json, Trust, app
from chainlift.report.terminal.console import print_json, say
from chainlift.settings import Settings


@app.command()
def tasks(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the task to show: d=6, or path=FOLDER for GSM8K."),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Show examples of a task's prompts and responses, or of a recipe's task."),
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """List the tasks, one line each; with --show NAME, show a few prompts with a short and a long response."""
    from chainlift.stages import recipe as recipes
    from chainlift.tasks.registry import TASKS

    if show is None:
        if overrides:
            raise ValueError(f"{overrides[0]}: name its task by --show NAME")
        names = TASKS.names()
        width = max(map(len, names))
        kinds = {name: TASKS.find(name).build for name in names}
        lines = {name: (inspect.getdoc(kind) or "").partition("\n")[0] for name, kind in kinds.items()}
        print_json(lines) if as_json else say("\n".join(f"{name:{width}s}  {line}" for name, line in lines.items()))
        return

    changes = [f"task.{change}" for change in overrides or []]
    is_task = show in TASKS.names() or ":" in show
    recipe = None if is_task else recipes.load(show, changes, trust=trust)
    settings = _settings(show, changes) if recipe is None else recipe.task
    _show(settings, as_json=as_json)


def _settings(name: str, changes: list[str]) -> Settings:
    """A task's settings by its name, with changes; ValueError in one line that names the key."""
    from chainlift.overrides import apply_overrides
    from chainlift.stages.base_recipe import part_alone
    from chainlift.tasks.registry import settings_class

    content = apply_overrides({"task": {"name": name}}, changes)
    return part_alone(settings_class(name), content["task"], "task")


def _show(settings: Settings, *, as_json: bool) -> None:
    """Print examples of the task with these settings."""
    from chainlift.tasks import look as symbols
    from chainlift.tasks.registry import make
    from chainlift.text import look as text
    from chainlift.text.task import TextTask

    task = make(settings)
    if isinstance(task, TextTask):
        examples = text.look(task)
        lines = text.lines(examples)
    else:
        examples = symbols.look(task)
        lines = symbols.lines(examples)
    print_json(examples) if as_json else say("\n".join(lines))
