"""Seeded mutants, each in a copy of the source: python -m tests.mutants [NAME...]; status 1 if one of them lives.

NAME is a mutant's, or the beginning of several mutants' names. Nothing is changed in the checkout. The tests that are
named for the mutants must pass without one, which is tried first.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fork_server import exit_status
from tests.mutants.mutant import Mutant
from tests.mutants.mutants import MUTANTS, ROOT

COPIED = ("src", "tests")
PRELOADED = ("torch", "hypothesis", "pydantic", "scipy.stats", "matplotlib.figure")
SECONDS = 600.0  # for a mutant's tests, which a mutant may let run without end
PASSED, FAILED = 0, 1
"""Of pytest's exit statuses; at any other the tests themselves did not run."""


def main(names: Sequence[str]) -> int:
    """The exit status of the command."""
    chosen = [one for name, one in MUTANTS.items() if not names or name.startswith(tuple(names))]
    if not chosen:
        print(f"no mutant's name begins with {' or '.join(names)}")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        make_copy(copy)
        if status := _pytest(copy, sorted({test for one in chosen for test in one.tests.split()})):
            print(f"without any mutant the tests end with status {status}; mend that first")
            return 2
        survived = [one.name for one in chosen if not is_caught(one, copy)]
    print(f"{len(chosen) - len(survived)} of {len(chosen)} were caught")
    return 1 if survived else 0


def make_copy(folder: Path) -> None:
    """Fill a folder with what tests need: source and tests copied, and links to the rest."""
    for path in ROOT.iterdir():
        if path.name in COPIED:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif not path.name.startswith("."):
            (folder / path.name).symlink_to(path)


def is_caught(mutant: Mutant, copy: Path) -> bool:
    """Whether a mutant's tests fail with it, in a copy that is left as it was; a line says so."""
    file = copy / "src" / "chainlift" / mutant.file
    source = file.read_text(encoding="utf-8")
    if source.count(mutant.text) != 1:
        print(f"gone      {mutant.name}: the text is not in {mutant.file} once", flush=True)
        return False
    started = time.monotonic()
    file.write_text(source.replace(mutant.text, mutant.replacement), encoding="utf-8")
    try:
        status = _pytest(copy, mutant.tests.split())
    finally:
        file.write_text(source, encoding="utf-8")
    told = {PASSED: "survived", FAILED: "caught"}.get(status, f"status {status}")
    print(f"{told:9} {mutant.name} ({time.monotonic() - started:.0f} s)", flush=True)
    return status == FAILED


def _pytest(copy: Path, tests: Sequence[str]) -> int:
    """pytest's exit status for some tests of the copy; FAILED if they go on without end.

    In a process forked from this one, which has imported what takes long and nothing that a mutant changes.
    """
    for name in PRELOADED:
        __import__(name)
    child = os.fork()
    if child == 0:
        _run_in(copy, tests)
    status = exit_status(child, SECONDS)
    if status is None:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return FAILED
    return status


def _run_in(copy: Path, tests: Sequence[str]) -> None:
    """Run tests in this process, which ends with it: imports find the copy, and nothing is shown."""
    try:
        os.setpgid(0, 0)
        os.chdir(copy)
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "chainlift")]:
            del sys.modules[name]
        sys.path[:] = [str(copy), str(copy / "src"), *(path for path in sys.path if path not in ("", str(ROOT)))]
        os.environ["PYTHONPATH"] = str(copy / "src")
        sys.dont_write_bytecode = True  # two mutants of a file may have one size and one second
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(os.EX_SOFTWARE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
