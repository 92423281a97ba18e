"""Text files and pipes name their encoding, and no sign that a terminal cannot show ends a command."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPENS = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile"}
STARTS = {"run", "Popen", "check_output", "check_call", "call", "getoutput", "getstatusoutput"}


def without_encoding(source: str) -> Iterator[int]:
    """The lines of calls that read or write text in the encoding that the machine happens to have."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _is_text(node) and not _names_encoding(node):
            yield node.lineno


def _is_text(call: ast.Call) -> bool:
    """Whether a call opens a file or a pipe as text, or reads or writes such a file."""
    name = _name(call.func)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in ("read_text", "write_text", "TextIOWrapper", "FileHandler"):
        return True
    if name in STARTS:
        modes = (keywords.get("text"), keywords.get("universal_newlines"))
        return name.startswith("get") or any(isinstance(mode, ast.Constant) and mode.value for mode in modes)
    if name not in OPENS:
        return False
    of_a_path = isinstance(call.func, ast.Attribute) and _name(call.func.value) not in ("os", "io", "gzip", "tempfile")
    place = 0 if of_a_path or name.endswith("File") else 1
    mode = keywords.get("mode", call.args[place] if len(call.args) > place else None)
    if mode is None:
        return not name.endswith("File")  # a temporary file is one of bytes, any other of text
    if not (isinstance(mode, ast.Constant) and isinstance(mode.value, str)):
        return False  # a method of that name that opens something else
    return "b" not in mode.value


def _names_encoding(call: ast.Call) -> bool:
    """Whether it says in which encoding, or is given more than this test can see."""
    if any(keyword.arg in ("encoding", None) for keyword in call.keywords):
        return True
    return {"read_text": 1, "write_text": 2}.get(_name(call.func), 9) <= len(call.args)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize(
    "call",
    [
        "open(path)", "open(path, 'w')", "path.open()", "path.open('a')", "path.open(mode='r+')", "path.read_text()",
        "path.write_text(text)", "os.fdopen(number, 'w')", "io.open(path)", "TemporaryFile('w')",
        "tempfile.NamedTemporaryFile(mode='w+')", "subprocess.run(command, text=True)",
        "subprocess.Popen(command, universal_newlines=True)", "subprocess.getoutput(command)",
    ],
)  # fmt: skip
def test_the_reader_sees_what_names_no_encoding(call: str) -> None:
    assert list(without_encoding(f"x = 1\n{call}\n")) == [2]


@pytest.mark.parametrize(
    "call",
    [
        "open(path, 'rb')", "open(path, encoding='utf-8')", "path.open('ab')", "path.open('w', encoding='utf-8')",
        "path.read_text('utf-8')", "path.write_text(text, 'utf-8')", "path.read_bytes()", "TemporaryFile()",
        "RunFolder.open(path, recipe, identity)", "subprocess.run(command)", "open(path, **options)",
        "subprocess.run(command, text=True, encoding='utf-8')",
    ],
)  # fmt: skip
def test_the_reader_leaves_the_rest_alone(call: str) -> None:
    assert not list(without_encoding(call))


@pytest.mark.parametrize("folder", ["src", "benchmarks"])
def test_every_text_file_and_pipe_names_its_encoding(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in without_encoding(path.read_text(encoding="utf-8"))
    ]
    assert not found


SCRIPT = """
import sys
from chainlift.cli import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["chainlift", *line.split("|")]
    try:
        main()
    except SystemExit as end:
        print("status", end.code or 0, line.partition("|")[0])
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


@pytest.mark.slow
def test_under_an_ascii_locale_every_command_that_shows_a_run_ends_well(finished: Path, tmp_path: Path) -> None:
    """Tables with dashes and frames, pages of a folder whose name the locale cannot read, a model's card, figures."""
    runs, small = tmp_path / "l\u00e4ufe", tmp_path / "small.yaml"
    shutil.copytree(finished.parent, runs)
    shutil.copyfile(finished.parent.parent / "small.yaml", small)
    commands = [
        ["run", small, "--out", runs],  # done already: its table is printed
        ["evaluate", runs / finished.name, "--prompts", "8"],
        ["sample", runs / finished.name],
        ["report", runs / finished.name],
        ["report", runs],
        ["watch", runs, "--once"],
        ["export", runs / finished.name, tmp_path / "mod\u00e8le"],
        ["run", "--help"],
        ["sweep", small, "--status", "--out", runs],
    ]
    lines = "\n".join("|".join(map(str, command)) for command in commands)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LC_")} | ASCII
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=lines.encode(), capture_output=True, env=environment, timeout=120
    )
    output = done.stdout.decode("ascii")  # and nothing else reached a terminal that knows no more
    ended = [line for line in output.splitlines() if line.startswith("status")]
    assert ended == [f"status 0 {command[0]}" for command in commands], done.stderr.decode("ascii")
    assert "after" in output
    assert r"\u2014" in output  # theory says nothing of a row
    assert (runs / "index.html").exists()
    assert "l\u00e4ufe" in (runs / "index.html").read_text(encoding="utf-8")
    assert "mod\u00e8le" in (tmp_path / "mod\u00e8le/README.md").read_text(encoding="utf-8")
