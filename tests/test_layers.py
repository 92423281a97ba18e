"""The house's rules: a file imports only from rooms before its own, and CONTRIBUTING.md maps rooms and folders."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from itertools import pairwise
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
    "distributed",
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
PROJECT = Path(__file__).parents[1]
FILES = sorted(SOURCE.rglob("*.py"))
SUBCLASSES = {"stages/trl/recorder.py"}  # its callbacks are subclasses of transformers'; only running stages import it
FILE = re.compile(r"`([\w/]+(?:\.html)?\.(?:py|jinja))`")
PLACE = re.compile(r"`(\w+)`(?: and `(\w+)`)? (?:at the top of|in|of) `([\w/]+(?:\.html)?\.(?:py|jinja))`")
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


def rows_of_the_map() -> list[str]:
    """The first column of the map in CONTRIBUTING.md, in order: `tasks/`, `text/grading/`, `visible.py`, ..."""
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## The map\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \| \S", table, re.MULTILINE)


def folders() -> set[str]:
    """Every folder of the source, as the map names it; the folders of claims share a row."""
    names: set[str] = set()
    for path in SOURCE.rglob("*/"):
        if path.name != "__pycache__":
            is_claim = path.parent.name == "claims"
            names.add("claims/<name>/" if is_claim else f"{path.relative_to(SOURCE).as_posix()}/")
    return names


def test_the_map_names_every_room_and_folder_once() -> None:
    rows = rows_of_the_map()
    assert len(rows) == len(set(rows))
    modules = {file.name for file in SOURCE.glob("*.py")} - {"__init__.py"}
    assert set(rows) == folders() | modules


def test_the_map_has_the_order_of_rooms() -> None:
    rooms = [room(Path(row).parts) for row in rows_of_the_map()]
    assert list(dict.fromkeys(name for name in rooms if name in ORDER)) == ORDER
    for before, after in pairwise(rooms):
        assert before == after or rooms.index(after) > rooms.index(before), f"rows of {after} stand apart"


def test_what_the_guide_names_exists() -> None:
    """Files of "I want to ...", and in them the names that stand before `in`."""
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## I want to")[2].partition("\n## ")[0]
    files = {name: SOURCE / name if (SOURCE / name).is_file() else PROJECT / name for name in FILE.findall(text)}
    assert len(files) > 25
    for name, file in files.items():
        assert file.is_file(), f"CONTRIBUTING.md names {name}"
    places = PLACE.findall(text)
    assert len(places) > 12
    for first, second, name in places:
        content = files[name].read_text(encoding="utf-8")
        assert all(re.search(rf"\b{word}\b", content) for word in (first, second)), f"{first}, {second} in {name}"


def test_the_version_stands_in_one_place() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (PROJECT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## ([\d.]+)", changelog, re.MULTILINE)[0] == version
    lock = tomllib.loads((PROJECT / "uv.lock").read_text(encoding="utf-8"))
    assert [package["version"] for package in lock["package"] if package["name"] == "chainlift"] == [version]
