"""References to code, `package.module:name`: which ones may be imported, and the only function that imports them.

A reference that the user types on the command line or passes in Python is imported. A reference in a file (a recipe in
YAML, a checkpoint's config.json) may be written by someone else, because files are downloaded and shared. It is
imported only if the user has typed the same reference, or trusts the file (`--trust`).

Code that reads a file makes a `Trust` and passes it to pydantic as the validation context. Every field that holds a
reference has the type `Reference`, which checks it. Without a context, the content comes from the user.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, ValidationInfo

from chainlift.visible import one_line


@dataclass(frozen=True)
class Trust:
    """Which references in a file the user allows."""

    file: Path | str
    """The file, for error messages."""
    typed: frozenset[str] = frozenset()
    """References that the user has typed."""
    whole: bool = False
    """Whether the user trusts the whole file: `--trust`, or `trust=True` in Python."""

    @classmethod
    def of(cls, file: Path | str, overrides: Iterable[str] | None, whole: bool) -> Trust:
        """Trust in a file from the user's `key=value` overrides and `--trust`."""
        values = [yaml.load(text.partition("=")[2], yaml.BaseLoader) for text in overrides or ()]
        return cls(file, frozenset(texts(values)), whole)

    def allows(self, reference: str) -> bool:
        """Whether the reference may be imported."""
        return self.whole or reference in self.typed


def is_reference(name: str) -> bool:
    """Whether a name is a reference to code (`package.module:name`) and not a registered name."""
    return ":" in name


def admit(reference: str, trust: Trust | None) -> str:
    """Return the reference if it may be imported; otherwise a ValueError names the file and `--trust`."""
    if trust is not None and is_reference(reference) and not trust.allows(reference):
        raise ValueError(
            f"{reference!r} is code, and {trust.file} names it, not you: read that code, then add --trust "
            "(in Python trust=True)"
        )
    return reference


def _admitted(value: str, info: ValidationInfo) -> str:
    return admit(value, info.context)


Reference = Annotated[str, AfterValidator(_admitted)]
"""The type of a settings field that holds `package.module:name`."""


def texts(content: Any) -> Iterator[str]:
    """All strings in nested content, keys included."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from texts(value)


def load(reference: str) -> Any:
    """Import an admitted `package.module:name`, or a module; the working directory is searched last.

    ValueError, in one line, if the import fails.
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that it hides nothing
    return _imported(reference)


def load_entry_point(point: EntryPoint) -> Any:
    """Import the object of an entry point; ValueError, in one line, if the import fails."""
    return _imported(":".join(filter(None, (point.module, point.attr))))


def entry_points(group: str) -> list[EntryPoint]:
    """Entry points of installed packages in a group; packages in the working directory do not count as installed."""
    excluded = {"", ".", str(Path.cwd())}
    packages = distributions(path=[folder for folder in sys.path if folder not in excluded])
    return [point for package in packages for point in package.entry_points if point.group == group]


def _imported(path: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        target: Any = importlib.import_module(module_name)
        for part in filter(None, attribute.split(".")):
            target = getattr(target, part)
    except Exception as error:  # an unknown module can raise anything
        message = one_line(str(error))
        raise ValueError(f"{path!r} cannot be imported: {type(error).__name__}: {message}") from error
    return target
