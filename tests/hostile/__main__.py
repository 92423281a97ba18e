"""The whole campaign on files, checkpoints and command lines, counted: `python -m tests.hostile` (`--help`)."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.conftest import SMALL
from tests.hostile import files, folders, lines
from tests.hostile.campaign import Tally
from tests.in_process import command

TITLES = {
    "files": "damaged files x commands",
    "checkpoints": "hostile checkpoints x commands",
    "lines": "fuzzed command lines",
}


def main() -> None:
    """Make a small run, damage it and its checkpoint in every way, mutate command lines, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1500, help="mutated command lines")
    parser.add_argument("--every", type=int, default=1, help="of the cases with files, only every so-manieth")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the number of the first of these")
    parser.add_argument("--only", choices=list(TITLES), help="one part of the campaign")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.chdir(work)
        recipe = work / "small.yaml"
        recipe.write_text(SMALL, encoding="utf-8")
        made = command("run", recipe, "--out", work / "made", "--json")
        assert made.status == 0, made.err
        run = next((work / "made").glob("small-*"))
        tallies = {part: Tally() for part in TITLES if options.only in (None, part)}
        for part, tally in tallies.items():
            if part == "files":
                start = files.base(run, work / "start")
                chosen = list(files.cases(start, recipe))[options.first :: options.every]
                files.tried(run, recipe, work / "cases", chosen, tally)
            elif part == "checkpoints":
                folders.tried(run, work / "folders", tally)
            else:
                lines.tried(run, work, options.lines, tally)
            print(f"{TITLES[part]}: {tally}", flush=True)
    if any(tally.broken for tally in tallies.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
