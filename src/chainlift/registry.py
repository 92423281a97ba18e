"""Pieces by name: registered ones, those of installed packages, and any object by `package.module:name`.

There is one registry for each kind of piece: tasks, model families, rewards and algorithms. A package makes a piece
known by an entry point in the registry's group; the entry point names the piece itself, or a module that registers it
when it is imported. Code that a file names is imported only where the user trusts the file (references.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from chainlift import references
from chainlift.references import Trust, entry_points, is_reference
from chainlift.settings import suggest

Piece = TypeVar("Piece")


class Registry(Generic[Piece]):
    """The pieces of one kind, by name."""

    def __init__(self, kind: str, group: str, accept: Callable[[Any], Piece]) -> None:
        """kind: what a piece is called in messages; group: of entry points.

        accept: the piece that an object is; ValueError says what an object that is none should be.
        """
        self.kind, self.group, self.accept = kind, group, accept
        self._pieces: dict[str, Piece] = {}
        self._shipped: set[str] = set()

    def register(self, name: str, piece: Any, *, shipped: bool = False) -> None:
        """Make a piece known under `name`, in place of an earlier one.

        ValueError if it is no such piece, or if the name is that of a shipped one, which recipes rely on.
        """
        if not name or is_reference(name):
            raise ValueError(f"{name!r} cannot name a {self.kind}: a name is not empty and has no colon")
        if name in self._shipped:
            raise ValueError(f"{self.kind} {name!r} is shipped with chainlift; choose another name")
        self._pieces[name] = self._accepted(name, piece)
        if shipped:
            self._shipped.add(name)

    def names(self) -> list[str]:
        """All names, sorted: of shipped and registered pieces, and of those that installed packages plug in."""
        return sorted(set(self._pieces) | {point.name for point in entry_points(self.group)})

    def is_shipped(self, name: str) -> bool:
        """Whether the name is that of a piece that comes with chainlift."""
        return name in self._shipped

    def find(self, name: Any, trust: Trust | None = None) -> Piece:
        """The piece called `name`, imported if need be; ValueError in one line says what is wrong with the name.

        trust: in the file that holds the name; None if the name is the user's own word.
        """
        if isinstance(name, str) and is_reference(name):
            references.admit(name, trust)  # whether it was imported before makes no difference
            return self._accepted(name, references.load(name))
        if isinstance(name, str) and name not in self._pieces:
            self._plug_in(name)
        if not isinstance(name, str) or name not in self._pieces:
            near = suggest(name, self.names()) if isinstance(name, str) else ""
            known = f"known: {', '.join(self.names())}, or package.module:name"
            raise ValueError(f"{self.kind} {name!r} is not known{near}; {known}")
        return self._pieces[name]

    def _plug_in(self, name: str) -> None:
        """Register what the entry point `name` names, unless importing it has done so."""
        for point in entry_points(self.group):
            if point.name == name:
                found = references.load_entry_point(point)
                if name not in self._pieces and is_reference(point.value):
                    self._pieces[name] = self._accepted(point.value, found)

    def _accepted(self, name: str, found: Any) -> Piece:
        try:
            return self.accept(found)
        except ValueError as error:
            raise ValueError(f"{name!r} is no {self.kind}: it must be {error}") from error
