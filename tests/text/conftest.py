"""Made-up files of problems, and a hub that holds what a test puts there."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[[str, Iterable[Any]], Path]:
    """Write a jsonl file into the test's folder; texts are written as they are."""

    def write(name: str, rows: Iterable[Any]) -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Put what is wanted from the hub into this dictionary, by name, configuration and split; all else is no network.

    The package `datasets` is replaced, so nothing is imported and nothing asked of the real hub.
    """
    held: dict[tuple[str, str, str], list[dict[str, Any]]] = {}

    def load_dataset(name: str, config: str, split: str) -> list[dict[str, Any]]:
        if (name, config, split) not in held:
            raise ConnectionError(f"Couldn't reach '{name}' on the Hub\n(offline)")
        return held[name, config, split]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return held
