"""The whole campaign on files and command lines, counted: `python -m tests.hostile` (`--lines N`, `--every N`)."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.conftest import SMALL
from tests.hostile import files, lines
from tests.hostile.campaign import Tally
from tests.in_process import command


def main() -> None:
    """Make a small run, damage it in every way, mutate command lines, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1500, help="mutated command lines")
    parser.add_argument("--every", type=int, default=1, help="of the cases with files, only every so-manieth")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.chdir(work)
        recipe = work / "small.yaml"
        recipe.write_text(SMALL, encoding="utf-8")
        made = command("run", recipe, "--out", work / "made", "--json")
        assert made.status == 0, made.err
        run = next((work / "made").glob("small-*"))
        of_files, of_lines = Tally(), Tally()
        start = files.base(run, work / "start")
        files.tried(run, recipe, work / "cases", list(files.cases(start, recipe))[:: options.every], of_files)
        print(f"corrupted files x commands: {of_files}", flush=True)
        lines.tried(run, work, options.lines, of_lines)
        print(f"fuzzed command lines: {of_lines}", flush=True)
    if of_files.broken or of_lines.broken:
        sys.exit(1)


if __name__ == "__main__":
    main()
