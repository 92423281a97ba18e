"""Terminal output with control characters escaped, as text from files, models and folder names is untrusted."""

from __future__ import annotations

import json
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from chainlift.visible import visible


class PlainConsole(Console):
    """A rich console without markup that escapes control characters.

    A plain rich console would treat `[red]` as a style and `[/x]` as an error, and pass escape sequences on.
    """

    def render_str(self, text: str, **options: Any) -> Text:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The text without markup, in the requested style only."""
        as_it_is: dict[str, Any] = {**options, "markup": False, "emoji": False}
        return super().render_str(visible(text, lines=True), **as_it_is)


def console(*, file: TextIO | None = None, quiet: bool = False) -> PlainConsole:
    """A console that writes to standard output, or to a file."""
    return PlainConsole(file=file, quiet=quiet, highlight=False, markup=False, emoji=False)


def plain(text: str, style: str = "") -> Text:
    """Text in a style, with control characters escaped."""
    return Text(visible(text), style)


def say(text: str) -> None:
    """Print lines of text on standard output, with control characters escaped."""
    print(visible(text, lines=True), flush=True)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON; ValueError for numbers that are not finite, which JSON lacks."""
    print(json.dumps(value, allow_nan=False), flush=True)
