"""Registries of pieces by name: registered pieces, plug-ins of installed packages, and `package.module:name`.

Each kind of piece (tasks, model families, rewards, algorithms) has a registry. A package plugs a piece in by an entry
point in the registry's group; the entry point names the piece, or a module that registers it on import. A reference in
a file is imported only if the user trusts the file (references.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from chainlift import references
from chainlift.references import Trust, entry_points, is_reference
from chainlift.settings import suggest

Piece = TypeVar("Piece")


class Registry(Generic[Piece]):
    """Pieces of one kind, by name."""

    def __init__(self, kind: str, group: str, accept: Callable[[Any], Piece]) -> None:
        """Set up an empty registry.

        kind: the word for a piece in messages; group: the group of entry points; accept: returns the piece that an
        object holds, or raises a ValueError that says what it must be.
        """
        self.kind, self.group, self.accept = kind, group, accept
        self._pieces: dict[str, Piece] = {}
        self._shipped: set[str] = set()

    def register(self, name: str, piece: Any, *, shipped: bool = False) -> None:
        """Register a piece under `name`; it replaces an earlier one.

        ValueError if the object is not a piece of this kind, or if the name belongs to a shipped piece, on which
        recipes rely.
        """
        if not name or is_reference(name):
            raise ValueError(f"{name!r} is not a valid name of a {self.kind}: a name is not empty and has no colon")
        if name in self._shipped:
            raise ValueError(f"{self.kind} {name!r} is shipped with chainlift; choose another name")
        self._pieces[name] = self._accepted(name, piece)
        if shipped:
            self._shipped.add(name)

    def names(self) -> list[str]:
        """Sorted names of shipped and registered pieces and of the plug-ins of installed packages."""
        return sorted(set(self._pieces) | {point.name for point in entry_points(self.group)})

    def is_shipped(self, name: str) -> bool:
        """Whether the name belongs to a piece that comes with chainlift."""
        return name in self._shipped

    def find(self, name: Any, trust: Trust | None = None) -> Piece:
        """The piece called `name`, imported if necessary; ValueError, in one line, if there is none.

        trust: for the file that holds the name; None if the name comes from the user.
        """
        if isinstance(name, str) and is_reference(name):
            references.admit(name, trust)  # also if it has been imported before
            return self._accepted(name, references.load(name))
        if isinstance(name, str) and name not in self._pieces:
            self._plug_in(name)
        if not isinstance(name, str) or name not in self._pieces:
            near = suggest(name, self.names()) if isinstance(name, str) else ""
            known = f"known: {', '.join(self.names())}, or package.module:name"
            raise ValueError(f"{self.kind} {name!r} is not known{near}; {known}")
        return self._pieces[name]

    def _plug_in(self, name: str) -> None:
        """Import the entry point `name`, and register its object unless the import has done so."""
        for point in entry_points(self.group):
            if point.name == name:
                plugin = references.load_entry_point(point)
                if name not in self._pieces and is_reference(point.value):
                    self._pieces[name] = self._accepted(point.value, plugin)

    def _accepted(self, name: str, candidate: Any) -> Piece:
        try:
            return self.accept(candidate)
        except ValueError as error:
            raise ValueError(f"{name!r} is not a valid {self.kind}: it must be {error}") from error
