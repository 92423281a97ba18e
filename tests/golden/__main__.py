"""Record the golden numbers, or compare with them: `python -m tests.golden record [CASE ...]`, or `check`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.golden import guard, values
from tests.golden.cases import CASES


def main() -> None:
    """Run cases, all unless some are named, and print what differs from the record; `record` keeps the new numbers.

    Status 1 if `check` finds a difference.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # before any library reads it
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("verb", choices=("record", "check"))
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: all of them")
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"there is no case {unknown[0]}; known: {', '.join(CASES)}")
    with tempfile.TemporaryDirectory() as shared:
        differing = [name for name in options.cases or CASES if _differs(name, options.verb, Path(shared))]
    sys.exit(bool(differing) and options.verb == "check")


def _differs(name: str, verb: str, shared: Path) -> bool:
    """Whether a case differs from its record; prints how, and keeps the new numbers if the verb is `record`."""
    if verb == "record" and not values.file_of(name).exists():
        values.write(name, guard.measured(name, shared))
        print(f"{name}: recorded for the first time", flush=True)
        return False
    outcome = guard.check(name, shared)
    how = "bit for bit" if outcome.exact else "within the tolerance: the record is another machine's"
    print("\n".join(outcome.differences) or f"{name}: equal {how}", flush=True)
    if verb == "record":
        values.write(name, outcome.now)
    return bool(outcome.differences)


if __name__ == "__main__":
    main()
