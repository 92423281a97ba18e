"""Protocol for reporting a run's progress; the terminal implements it in report/terminal/reporter.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol


class Reporter(Protocol):
    """Receives stages, updates and evaluations as they happen."""

    def say(self, text: str) -> None:
        """Print one line at any time."""
        ...

    def stage(self, title: str, step: int, total: int) -> AbstractContextManager[None]:
        """Open a stage that starts or resumes at `step` of `total` updates; it ends with the block."""
        ...

    def update(self, row: dict[str, Any]) -> None:
        """Report a metrics row of kind `update`."""
        ...

    def evaluation(self, row: dict[str, Any]) -> None:
        """Report a metrics row of kind `evaluation`."""
        ...


class Silent:
    """A reporter that prints nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    @contextmanager
    def stage(self, title: str, step: int, total: int) -> Iterator[None]:
        """Do nothing around the block."""
        yield

    def update(self, row: dict[str, Any]) -> None:
        """Do nothing."""

    def evaluation(self, row: dict[str, Any]) -> None:
        """Do nothing."""
