"""One finished run of a language model on our own engine, for all tests of this folder."""

from pathlib import Path
from typing import Any

import pytest

from chainlift.runs.store import RunFolder
from tests.stages.text.small_engine_text import run


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], RunFolder]:
    """(summary, folder) of a run that nothing has interrupted; tests must not change it."""
    return run(tmp_path_factory.mktemp("text"), "pretrain.keep={every: 2}")


@pytest.fixture
def folder(whole: tuple[dict[str, Any], RunFolder]) -> Path:
    """The folder of that run."""
    return whole[1].path
