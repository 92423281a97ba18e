"""The terminal as commands write to it: whatever a file, a model or a folder's name holds is shown and never obeyed."""

from __future__ import annotations

import json
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from chainlift.visible import visible


class PlainConsole(Console):
    """A console for which brackets in a text are brackets, and control characters are written out.

    rich takes `[red]` in a text for a style and `[/x]` for an error, and hands escape sequences on.
    """

    def render_str(self, text: str, **options: Any) -> Text:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The text as it is, in the requested style and no other."""
        as_it_is: dict[str, Any] = {**options, "markup": False, "emoji": False}
        return super().render_str(visible(text, lines=True), **as_it_is)


def console(*, file: TextIO | None = None, quiet: bool = False) -> PlainConsole:
    """A console on standard output, or on a file."""
    return PlainConsole(file=file, quiet=quiet, highlight=False, markup=False, emoji=False)


def plain(text: str, style: str = "") -> Text:
    """A piece of text in a style, with control characters written out."""
    return Text(visible(text), style)


def say(text: str) -> None:
    """Print lines of text on standard output, with control characters written out."""
    print(visible(text, lines=True), flush=True)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON; ValueError for a number that is not finite, which JSON does not have."""
    print(json.dumps(value, allow_nan=False), flush=True)
