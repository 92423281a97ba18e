"""A working directory with the files of docs/extending.md, and pieces of one's own in it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainlift.learning.presets import ALGORITHMS
from chainlift.learning.reward import REWARDS
from chainlift.models.families import FAMILIES
from chainlift.stages.kind_registry import KINDS
from chainlift.tasks.registry import TASKS
from tests.documented import files, working_directory

REGISTRIES = (TASKS, FAMILIES, REWARDS, ALGORITHMS, KINDS)
MIXER = ["model.family=my_pieces:Mixer", "pretrain.optimizer=adamw"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the document's files."""
    for one in REGISTRIES:
        monkeypatch.setattr(one, "_pieces", dict(one._pieces))
    with working_directory(tmp_path, files() | {"other.py": ""}, monkeypatch) as here:
        yield here


def own(folder: Path, text: str) -> None:
    """Write other.py anew."""
    (folder / "other.py").write_text(text, encoding="utf-8")
    sys.modules.pop("other", None)


def summary_of(out: str) -> dict[str, Any]:
    return json.loads(out.splitlines()[-1])
