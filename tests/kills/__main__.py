"""Kill a scene at calls to the disk, or take its power away, and go on: python -m tests.kills SCENE kill|power STRIDE.

Prints, as JSON: the calls of a whole run by kind, how often the scene was ended, and what went wrong.
"""

import gc
import json
import pickle
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kills import scenes
from tests.kills.calls import Calls, Tree, make, tree_of
from tests.kills.processes import ended_at, in_a_process

MIXED = 2  # further states of a disk without power, besides the one that keeps nothing but what was synchronized


def main(name: str, how: str, stride: int) -> None:
    """Every `stride`-th call ends the scene."""
    scene = scenes.SCENES[name]
    scenes.prepare(measures=scene.measures)
    work = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)).resolve()
    try:
        begun: Tree = {}
        if (before := scene.before) is not None:
            assert in_a_process(lambda: before(fresh_folder(work / "before", {}))) == 0
            begun = tree_of(work / "before")
        expected = allowed(scene, work, begun)  # in this process: what is slow for the first time is over
        gc.freeze()
        calls, states = journal(scene, work, begun)
        ends, failed = calls if how == "kill" else [where for where, _ in states], []
        chosen = range(len(ends))[stride // 2 :: stride]
        for at in chosen:
            if how == "kill":
                why = killed(scene, work, begun, at, expected)
            else:
                why = followed(scene, fresh_folder(work / "lost", states[at][1]), expected)
            failed += [f"{ends[at]}: {why}"] if why else []
        counts = Counter(call.split()[0] for call in calls)
        print(json.dumps({"calls": counts, "total": len(calls), "ended": len(chosen), "failed": failed}))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def fresh_folder(path: Path, tree: Tree) -> Path:
    """A folder with this content, and nothing else."""
    shutil.rmtree(path, ignore_errors=True)
    make(path, tree)
    return path


def allowed(scene: scenes.Scene, work: Path, begun: Tree) -> list[Any]:
    """How the folder may be in the end: as the command leaves it or, where something had been done there, as it was.

    Or, there, as it becomes where the command had emptied the run and the last of its stages, but not yet the others.
    """
    scene.command(fresh_folder(work / "whole", begun))
    found = [scenes.compared(tree_of(work / "whole"))]
    if begun:
        for emptied in scenes.emptied(begun):
            scene.follows(fresh_folder(work / "whole", emptied))
            found.append(scenes.compared(tree_of(work / "whole")))
        first, *others = found
        assert all(differing(first, other) for other in others[:-1]), "what had been done cannot be told apart"
        assert not differing(first, others[-1]), "a run that begins again is not one that begins"
    return found


def differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names of files that are missing, too many or different."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name, 0) != expected.get(name, 0))


def journal(scene: scenes.Scene, work: Path, begun: Tree) -> tuple[list[str], list[tuple[str, Tree]]]:
    """(the calls of the whole scene, the different states in which a loss of power at one of them leaves the disk)."""
    root = fresh_folder(work / "journal", begun)
    file = work / "journal.pickle"

    def record() -> None:
        chance, seen = random.Random(0), set()
        lines: list[str] = []
        states: list[tuple[str, Tree]] = []

        def on_call(kind: str, path: Path, half: Callable[[], object]) -> None:
            line = f"{kind} {path.relative_to(root)}"
            lines.append(line)
            for way in range(1 + MIXED):
                tree = calls.disk.left(chance if way else None)
                key = hash(tuple(sorted(tree.items())))
                if key not in seen:
                    seen.add(key)
                    states.append((f"{line} ({'mixed' if way else 'kept'})", tree))

        calls = Calls(root, on_call)
        scene.command(root)
        file.write_bytes(pickle.dumps((lines, states)))

    assert in_a_process(record) == 0
    return pickle.loads(file.read_bytes())


def killed(scene: scenes.Scene, work: Path, begun: Tree, at: int, expected: list[Any]) -> str | None:
    """What goes wrong after SIGKILL at call number `at`, None if nothing does."""
    root = fresh_folder(work / "killed", begun)

    status = ended_at(at, root, lambda: scene.command(root))
    if status != -signal.SIGKILL:
        return f"was not killed, but ended with {status}"
    return followed(scene, root, expected)


def followed(scene: scenes.Scene, root: Path, expected: list[Any]) -> str | None:
    """What goes wrong when the next command goes on in the folder."""
    if in_a_process(lambda: scene.follows(root)):
        return "the next command failed"
    found = scenes.compared(tree_of(root))
    wrong = min((differing(found, one) for one in expected), key=len)
    return f"differs in {wrong}" if wrong else None


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
