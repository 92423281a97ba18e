"""The protocol by which a run reports its progress; the terminal's is in report/terminal/reporter.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol


class Reporter(Protocol):
    """Receives stages, updates and evaluations as they happen."""

    def say(self, text: str) -> None:
        """One line, whatever is going on."""
        ...

    def stage(self, title: str, step: int, total: int) -> AbstractContextManager[None]:
        """A stage begins, or goes on, at `step` of `total` updates; it ends with the block."""
        ...

    def update(self, row: dict[str, Any]) -> None:
        """A metrics row of kind `update`."""
        ...

    def evaluation(self, row: dict[str, Any]) -> None:
        """A metrics row of kind `evaluation`."""
        ...


class Silent:
    """Tells nobody."""

    def say(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def stage(self, title: str, step: int, total: int) -> Iterator[None]:
        """Nothing, around the block."""
        yield

    def update(self, row: dict[str, Any]) -> None:
        """Nothing."""

    def evaluation(self, row: dict[str, Any]) -> None:
        """Nothing."""
