"""Every hostile checkpoint (checkpoints.py) against every command that opens one."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.hostile.campaign import Tally, attempt, contents
from tests.hostile.checkpoints import CASES, HARMLESS
from tests.hostile.tampering import EVERY, MODULE, Case

ARGUMENTS = {"evaluate": ["--prompts", "8"], "sample": ["-n", "1"], "export": ["model"]}


def tried(finished: Path, work: Path, tally: Tally) -> None:
    """Carry out every case with every command, each in a fresh folder, and count them."""
    for number, (case, verb) in enumerate((case, verb) for case in (*CASES, *HARMLESS) for verb in EVERY):
        folder = work / str(number)
        checkpoint = Path(
            shutil.copytree(  # as another program has written it: nothing to compare, no trainer's state
                finished / "checkpoints/posttrain-20",
                folder / "checkpoint",
                ignore=shutil.ignore_patterns("checksums.json", "trainer_state.*"),
            )
        )
        complaint, status = _carried_out(case, verb, checkpoint)
        tally.add(f"{case.name}, {verb}", complaint, status)
        shutil.rmtree(folder)


def _carried_out(case: Case, verb: str, checkpoint: Path) -> tuple[str | None, int | None]:
    """(complaint or None, status) of a command in the folder above a hostile checkpoint."""
    folder, before, path = checkpoint.parent, Path.cwd(), list(sys.path)
    (folder / f"{MODULE}.py").write_text("open('ran.txt', 'w').close()\n", encoding="utf-8")
    (folder / "secret.txt").write_text("secret", encoding="utf-8")
    case.change(checkpoint)
    there = contents(folder)
    os.chdir(folder)
    try:
        complaint, status = attempt([verb, str(checkpoint), *ARGUMENTS[verb]])
    finally:
        os.chdir(before)
    expected = 2 if verb in case.refused_by else 0
    if complaint is None and status != expected:
        complaint = f"status {status}, not {expected}"
    if complaint is None and (MODULE in sys.modules or sys.path != path):
        complaint = "what the folder named was imported"
    if complaint is None and contents(folder) != there:
        complaint = "files were changed or written"
    if complaint is None and expected and (folder / "model").exists():
        complaint = "it was exported"
    return complaint, status
