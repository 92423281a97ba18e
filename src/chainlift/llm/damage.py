"""Whether a shared stage 1 is still what was written; a damaged one may be emptied, and is trained again then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chainlift.models import checksums
from chainlift.runs import checkpoint
from chainlift.runs.lock import InUse
from chainlift.runs.store import APPENDED, RunFolder

STAGE = "pretrain"


def empty_if_damaged(
    path: Path, recipe: dict[str, Any], identity: str, check_recipe: Callable[[RunFolder], object] = RunFolder.recipe
) -> str | None:
    """What was wrong with a shared stage 1, which is empty then; None if it is sound, missing, or in use.

    check_recipe: ValueError for a folder whose recipe cannot be used.
    """
    shared = RunFolder(path)
    if not path.exists():
        return None
    try:
        with shared.lock(wait=False):
            found = _damage(shared, identity, check_recipe)
            if found is not None:
                shared.begin_again(recipe, identity)
            return found
    except InUse:
        return None


def _damage(shared: RunFolder, identity: str, check_recipe: Callable[[RunFolder], object]) -> str | None:
    """The first thing that keeps runs from going on with a shared stage 1, or from taking it."""
    try:
        shared.must_be(identity)
        check_recipe(shared)
        newest = checkpoint.latest(shared.checkpoints, STAGE)
        if newest is not None:
            checksums.check(newest)
            shared.must_have(checkpoint.read_state(newest).lengths)
        if shared.done:
            if newest is None:
                return "its checkpoint is lost"
            for file in APPENDED:
                shared.rows(file)
    except (ValueError, OSError) as error:
        return str(error)
    return None
