"""What other systems lack is not needed: modules and calls of POSIX, long file names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from chainlift import launcher
from chainlift.runs.store import RunFolder
from chainlift.stages import recipe as recipes

ROOT = Path(__file__).parents[1]
MODULES = {"fcntl", "resource", "termios", "pwd", "grp", "tty", "pty", "posix", "syslog"}
CALLS = {
    "os": {"fork", "sched_getaffinity", "getloadavg", "getuid", "geteuid", "uname", "killpg", "setsid", "getpgid"},
    "signal": {"pthread_sigmask", "pthread_kill", "sigwait", "alarm", "setitimer", "SIGKILL", "SIGHUP", "SIGUSR1"},
}


def unguarded(source: str) -> list[str]:
    """What a file takes from POSIX alone, so that it cannot be imported, or a call fails, on another system.

    A module may be imported inside a function, a call be made where the file asks for it by `hasattr`.
    """
    tree = ast.parse(source)
    found = []
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        found += [name for name in names if name.partition(".")[0] in MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module, name = node.value.id, node.attr
            if name in CALLS.get(module, ()) and f'hasattr({module}, "{name}")' not in source:
                found.append(f"{module}.{name}")
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import fcntl", ["fcntl"]),
        ("from resource import getrusage", ["resource"]),
        ("def f():\n    import resource", []),
        ("os.sched_getaffinity(0)", ["os.sched_getaffinity"]),
        ('n = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else 1', []),
        ("os.kill(1, signal.SIGKILL)", ["signal.SIGKILL"]),
        ("from importlib import resources", []),
    ],
)
def test_the_reader_sees_what_only_posix_has(source: str, expected: list[str]) -> None:
    assert unguarded(source) == expected


def test_no_file_takes_for_granted_what_only_posix_has() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): names
        for path in sorted((ROOT / "src").rglob("*.py"))
        if (names := unguarded(path.read_text(encoding="utf-8")))
    }
    assert not found


LACKING = """
import multiprocessing.forkserver, os, signal, sys
import filelock, matplotlib.figure, plotly.offline, pydantic, rich.live, torch, typer  # know of systems by themselves
for name in ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty"):
    sys.modules[name] = None
for module, names in (
    (os, ("sched_getaffinity", "getloadavg", "getuid", "geteuid")),
    (signal, ("pthread_sigmask", "SIGHUP", "SIGUSR1", "SIGUSR2")),
):
    for name in names:
        delattr(module, name)
from chainlift.cli import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["chainlift", *line.split("|")]
    try:
        main()
    except SystemExit as end:
        print("status", end.code or 0, line.partition("|")[0])
"""


@pytest.mark.slow
def test_a_run_gets_by_without_the_modules_and_calls_of_posix(recipe: Path, tmp_path: Path) -> None:
    few = ["pretrain.steps=2", "posttrain.steps=1", "evaluate.prompts=8", "continued_pretrain=null"]
    commands = [
        ["env"],
        ["run", recipe, *few, "--out", tmp_path / "runs"],
        ["watch", tmp_path / "runs", "--once"],
        ["sweep", recipe, *few, "--status", "--out", tmp_path / "runs"],
        ["run", recipe, "--dry-run"],
    ]
    lines = "\n".join("|".join(map(str, command)) for command in commands)
    done = subprocess.run(
        [sys.executable, "-c", LACKING], input=lines, capture_output=True, encoding="utf-8", timeout=120
    )
    ended = [line for line in done.stdout.splitlines() if line.startswith("status")]
    assert ended == [f"status 0 {command[0]}" for command in commands], done.stderr


def test_cores_are_counted_where_affinity_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(launcher.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(launcher.os, "cpu_count", lambda: 5)
    assert launcher.cores() == 5
    monkeypatch.setattr(launcher.os, "cpu_count", lambda: None)
    assert launcher.cores() == 1


def test_a_name_too_long_for_a_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^name: String should have at most 200 characters"):
        recipes.load("tiny", [f"name={'n' * 201}"])
    longest = recipes.load("tiny", [f"name={'n' * 200}"])
    assert RunFolder.open(tmp_path / longest.run_id, {}, longest.digest).path.is_dir()
