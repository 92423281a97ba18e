"""The code of docs/extending.md as it stands: its files, which each block names in its first line, and its commands."""

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[1] / "docs/extending.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
SMALL = ["model.layers=1", "model.width=16", "pretrain.steps=4", "pretrain.batch_size=8", "threads=1"]
SMALL += ["posttrain.steps=2", "posttrain.prompts=4", "evaluate.prompts=16", "evaluate.during=16"]
SMALL += ["evaluate.pass_at_k_prompts=2", "evaluate.pass_at_k_samples=2"]


def files() -> dict[str, str]:
    """{name: content} of the document's modules; blocks that name one file are put together."""
    found: dict[str, str] = {}
    for kind, text in BLOCKS:
        if kind == "python":
            name = re.match(r"# (\w+\.py)\n", text)
            assert name is not None, text
            found[name[1]] = found.get(name[1], "") + text + "\n\n"
    return found


def commands() -> list[list[str]]:
    """The arguments of the document's commands."""
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    found = [shlex.split(line) for line in lines]
    assert all(words[0] == "chainlift" for words in found)
    return [words[1:] for words in found]


@contextmanager
def working_directory(folder: Path, modules: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with some modules as the working directory; what is imported from it is forgotten afterwards."""
    path = list(sys.path)
    monkeypatch.chdir(folder)
    for name, text in modules.items():
        (folder / name).write_text(text, encoding="utf-8")
    forget(modules)
    yield folder
    forget(modules)
    sys.path[:] = path


def forget(modules: dict[str, str]) -> None:
    """Modules are as if they had not been imported."""
    for name in modules:
        sys.modules.pop(name.removesuffix(".py"), None)
