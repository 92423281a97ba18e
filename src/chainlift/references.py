"""Code that a text names as `package.module:name`: who may have it imported, and the one place that imports it.

The rule: a reference is followed if it is the user's own word, typed on the command line or passed in Python. One that
stands in a file (a recipe in YAML, a checkpoint's config.json) may be someone else's word, as files are downloaded and
sent around. It is followed only if the user has typed that very reference too, or trusts the file (`--trust`).

Code that reads a file makes a `Trust` and hands it to pydantic as the validation context; every field that holds a
reference is declared as a `Reference`, which asks it. No context: the content is the user's own word.
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
    """What the user has said about the references of a file."""

    file: Path | str
    """Named in the error."""
    typed: frozenset[str] = frozenset()
    """References that the user has typed."""
    whole: bool = False
    """Whether the user trusts the file: `--trust`, or `trust=True` in Python."""

    @classmethod
    def of(cls, file: Path | str, overrides: Iterable[str] | None, whole: bool) -> Trust:
        """What the user says of a file by typing `key=value` beside it, and by `--trust`."""
        values = [yaml.load(text.partition("=")[2], yaml.BaseLoader) for text in overrides or ()]
        return cls(file, frozenset(texts(values)), whole)

    def allows(self, reference: str) -> bool:
        """Whether the reference may be followed."""
        return self.whole or reference in self.typed


def is_reference(name: str) -> bool:
    """Whether a name is `package.module:name`, and no name that the registry of its kind knows."""
    return ":" in name


def admit(reference: str, trust: Trust | None) -> str:
    """The reference, if it may be followed; ValueError that names the file and `--trust` if it may not."""
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
    """Every text among nested keys and values."""
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
    """What an admitted `package.module:name` (or a module alone) names; the working directory is searched last.

    ValueError in one line that says what failed.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that it hides nothing
    return _imported(reference)


def load_entry_point(point: EntryPoint) -> Any:
    """What an entry point names; ValueError in one line that says what failed."""
    return _imported(":".join(filter(None, (point.module, point.attr))))


def entry_points(group: str) -> list[EntryPoint]:
    """The entry points that installed packages have in a group; what lies in the working directory is not installed."""
    here = {"", ".", str(Path.cwd())}
    installed = distributions(path=[folder for folder in sys.path if folder not in here])
    return [point for found in installed for point in found.entry_points if point.group == group]


def _imported(path: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except Exception as error:  # whatever a stranger's module raises
        told = one_line(str(error))
        raise ValueError(f"{path!r} cannot be imported: {type(error).__name__}: {told}") from error
    return found
