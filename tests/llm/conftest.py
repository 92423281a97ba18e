"""The real GSM8K where it is at hand, small made-up files elsewhere."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before any library reads it
GSM8K = Path(os.environ.get("CHAINLIFT_GSM8K", Path(__file__).parents[2].parent / "shared" / "data" / "gsm8k"))


@pytest.fixture(scope="session")
def gsm8k_folder() -> str:
    """The folder of the real GSM8K."""
    if not (GSM8K / "train.jsonl").exists():
        pytest.skip(f"no GSM8K in {GSM8K}; set CHAINLIFT_GSM8K to its folder")
    return str(GSM8K)


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
