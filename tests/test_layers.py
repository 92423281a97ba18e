"""The house's rule: a file may import only from rooms to its left, or from its own room."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import chainlift

ORDER = [
    "visible",
    "yaml_text",
    "reading",
    "memory",
    "settings",
    "overrides",
    "references",
    "registry",
    "seeding",
    "launcher",
    "processes",
    "tasks",
    "text",
    "models",
    "theory",
    "learning",
    "measure",
    "runs",
    "stages",
    "report",
    "interop",
    "claims",
    "sweep",
    "bench",
    "api",
    "cli",
    "__main__",
]
SOURCE = Path(chainlift.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
SUBCLASSES = {"stages/trl/recorder.py"}  # its callbacks are subclasses of transformers'; only running stages import it
EXTRAS = {"transformers", "trl", "accelerate", "datasets", "ray", "submitit", "reasoning_gym", "pandas"}
EXTRAS |= {"pytest", "hypothesis"}


def imports(file: Path) -> set[str]:
    """Full names of the modules that a file imports, type-checking imports and those inside functions included."""
    return named(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def named(nodes: Iterable[ast.AST]) -> set[str]:
    """Full names of what the import statements among some nodes import."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_left(file: Path) -> None:
    here = room(file.relative_to(SOURCE).parts)
    if here == "__init__":
        return
    assert here in ORDER, f"{here} is no room of the house: add it to ORDER at its place"
    for name in imports(file):
        if name.startswith("chainlift."):
            there = name.split(".")[1]
            if there in ORDER:  # else a name of chainlift/__init__.py
                assert ORDER.index(there) <= ORDER.index(here), f"{file.name} ({here}) imports {name}, to its right"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_core_imports_no_extra(file: Path) -> None:
    """Importing a file imports no extra; a function may, where it is used."""
    if str(file.relative_to(SOURCE)) in SUBCLASSES:
        return
    at_once = [
        node
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not {name.split(".")[0] for name in named(at_once)} & EXTRAS


def test_starting_and_looking_at_sweeps_imports_no_extra() -> None:
    text = "import sys, chainlift.api, chainlift.cli, chainlift.claims.registry, chainlift.stages.recipe; "
    text += "print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & EXTRAS


def test_theory_imports_only_numpy() -> None:
    allowed = {
        "numpy",
        "chainlift",
        "__future__",
        "math",
        "dataclasses",
        "collections",
        "typing",
        "itertools",
        "functools",
    }
    for file in (SOURCE / "theory").glob("*.py"):
        assert {name.split(".")[0] for name in imports(file)} <= allowed, file


def test_files_and_modules_have_docstrings_and_sizes() -> None:
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), f"{file} has no docstring"
        assert len(text.splitlines()) <= 300, f"{file} is too long for one concept"
