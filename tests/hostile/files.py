"""Every file of a finished run, damaged in every way, against every command that reads run folders."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile.campaign import Tally, attempt, contents

KEPT_BY_RUN = ("checkpoints", "metrics.jsonl", "rollouts.jsonl", ".identity", "recipe.yaml")
"""What `run` may not change; it writes the rest again where it goes on."""
Damage = Callable[[Path, random.Random], object]


def _write(content: bytes) -> Damage:
    return lambda file, draw: file.write_bytes(content)


def _truncated(file: Path, draw: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(max(len(content), 1))])


def _flipped(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes() or b"\0")
    for _ in range(3):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(bytes(content))


def _folder(file: Path, draw: random.Random) -> None:
    file.unlink()
    file.mkdir()


def _loop(file: Path, draw: random.Random) -> None:
    file.unlink()
    file.symlink_to(file)


def _pipe(file: Path, draw: random.Random) -> None:
    file.unlink()
    os.mkfifo(file)


def _device(file: Path, draw: random.Random) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _gone(file: Path, draw: random.Random) -> None:
    file.unlink()


def _wrong_value(file: Path, draw: random.Random) -> None:
    """One value of the first object in the file has another type; of a file without one, a byte is another."""
    first, _, rest = file.read_bytes().partition(b"\n") if file.suffix == ".jsonl" else (file.read_bytes(), b"", b"")
    try:
        content: Any = json.loads(first)
    except ValueError:
        _flipped(file, draw)
        return
    node = content
    while True:
        key = draw.choice(list(node))
        if not isinstance(node[key], dict) or not node[key] or draw.random() < 0.3:
            break
        node = node[key]
    node[key] = draw.choice([None, [], {}, "x\x1b[31m", -1, 1e300, True, [[1]], {"a": {}}])
    file.write_bytes(json.dumps(content).encode() + b"\n" + rest)


BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
DAMAGES: dict[str, Damage] = {
    "truncated": _truncated,
    "truncated elsewhere": _truncated,
    "emptied": _write(b""),
    "binary": _write(bytes(range(256)) * 8),
    "a list": _write(b"[1]\n"),
    "a number": _write(b"3\n"),
    "nothing": _write(b"null\n"),
    "an empty object": _write(b"{}\n"),
    "deep": _write(b"[" * 100_000),
    "not finite": _write(b'{"stage": NaN, "kind": 1e999, "step": Infinity}\n'),
    "aliases that multiply": _write(BOMB.encode()),
    "a tag": _write(b'name: !!python/object/apply:os.system ["touch executed"]\n'),
    "markup and escape sequences": _write(b"[/red] [bold \x1b]0;x\x07\x1b[2J\n"),
    "bits flipped": _flipped,
    "other bits flipped": _flipped,
    "a wrong value": _wrong_value,
    "another wrong value": _wrong_value,
    "a third wrong value": _wrong_value,
    "a folder": _folder,
    "a link to itself": _loop,
    "a pipe": _pipe,
    "a device": _device,
    "gone": _gone,
}
RECORD = (
    ".identity",
    "DONE",
    "FAILED",
    "environment.json",
    "metrics.jsonl",
    "recipe.yaml",
    "rollouts.jsonl",
    "summary.json",
)


def base(finished: Path, target: Path) -> Path:
    """The folder of runs that cases begin with: a finished run, the stages it shares, a reason of failure, a claim."""
    for folder in finished.parent.iterdir():
        if folder.is_dir():
            shutil.copytree(folder, target / folder.name, ignore=shutil.ignore_patterns("report.html", "figures"))
    run = target / finished.name
    (run / "FAILED").write_text("error: training diverged\n", encoding="utf-8")
    (target / "claims").mkdir(exist_ok=True)
    return run


def commands(run: Path, recipe: Path) -> dict[str, list[str]]:
    """The commands that read run folders, by a name."""
    runs, out = str(run.parent), str(run.parent / "model")
    return {
        "watch": ["watch", runs, "--once"],
        "watch --json": ["watch", runs, "--json"],
        "sweep --status": ["sweep", str(recipe), "--out", runs, "--status", "--seeds", "0-1"],
        "sample": ["sample", str(run), "-n", "1"],
        "evaluate": ["evaluate", str(run), "--prompts", "8", "--json"],
        "evaluate a checkpoint": ["evaluate", str(run / "checkpoints/posttrain-20"), "--prompts", "8"],
        "export": ["export", str(run), out],
        "run": ["run", str(recipe), "--out", runs, "--json"],
        "report of all": ["report", runs],
        "report": ["report", str(run)],
    }


def targets(run: Path) -> list[str]:
    """The files that are damaged: the record, and the newest checkpoint of each of the two stages that are read."""
    found = [name for name in RECORD if (run / name).exists()]
    for folder in ("checkpoints/posttrain-20", "checkpoints/pretrain-40"):
        found += [str(file.relative_to(run)) for file in sorted((run / folder).iterdir())]
    return found


def cases(run: Path, recipe: Path) -> Iterator[tuple[str, str, str]]:
    """(file, damage, command), all of them; the page of a run is made only where its own files are damaged."""
    for file in targets(run):
        for damage in DAMAGES:
            for name in commands(run, recipe):
                if name != "report" or file in RECORD:
                    yield file, damage, name


def tried(finished: Path, recipe: Path, work: Path, chosen: list[tuple[str, str, str]], tally: Tally) -> None:
    """Carry out the chosen cases, each in a fresh copy, and count them."""
    for number, (file, damage, name) in enumerate(chosen):
        folder = work / str(number)
        folder.mkdir(parents=True)
        run = base(finished, folder)
        DAMAGES[damage](run / file, random.Random(f"{file}/{damage}"))
        before = contents(folder)
        complaint, status = attempt(commands(run, recipe)[name])
        tally.add(f"{file}, {damage}, {name}", complaint or _lost(folder, run, before, name), status)
        shutil.rmtree(folder)


def _lost(folder: Path, run: Path, before: dict[str, str], name: str) -> str | None:
    """What a command has changed that it must not, None if nothing."""
    if (folder / "executed").exists() or Path("executed").exists():
        return "what the file named was executed"
    after = contents(folder)
    if name == "run":
        inside = {f"{run.name}/{part}" for part in KEPT_BY_RUN}
        before = {path: value for path, value in before.items() if any(path.startswith(one) for one in inside)}
    changed = [path for path, value in before.items() if after.get(path) != value]
    return f"changed: {', '.join(changed)}" if changed else None
