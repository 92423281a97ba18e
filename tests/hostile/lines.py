"""Command lines as a cat on the keyboard, a bad script or a hostile one writes them: mutations of real ones."""

from __future__ import annotations

import random
from pathlib import Path
from unittest import mock

from chainlift.stages.planning import cost
from tests.hostile.campaign import Tally, attempt

NASTY = [
    "nan",
    "-inf",
    "1e999",
    "-1",
    "0",
    "010",
    "1:30",
    "9" * 30,
    "9" * 5000,
    "",
    " ",
    "=",
    "--",
    "-",
    "--nope",
    "\x1b[2J",
    "\x1b]0;x\x07",
    "[/red]",
    "\ud800",
    "\u202e",
    "{",
    "[" * 3000,
    "*a",
    "&a [*a]",
    "!!python/name:os.system",
    "../..",
    "/dev/zero",
    "/",
    "a" * 20_000,
    "task.d=1000000000000",
    "model.width=1000000000",
    "posttrain=3",
    "posttrain.lr=.nan",
    "pretrain.steps.x=1",
    "stages=3",
    "stages={}",
    "stages.\x1b[2J={kind: ntp}",
    "posttrain.kind=os:system",
    "posttrain.start=/dev/zero",
    "pretrain.start=posttrain@-1",
    "pretrain.keep={every: .nan}",
    "mixture.p_cot=[[0, .5], [nan]]",
    "a.b.c.d.e.f=1",
    "." * 50 + "=1",
    "task.name=os:system",
    "model={1: 2}",
    "seed=1",
    "threads=1000000000",
    "0-99999999999",
    "1..5",
    "a,b,,c",
]


def real(run: Path, work: Path) -> list[tuple[list[str], list[str]]]:
    """(what is mutated, what stays at the end so that nothing is trained) of real command lines."""
    out = ["--out", str(work / "runs")]
    return [
        (["run", "tiny", "task.d=5", "posttrain.lr=1e-3", "--seeds", "0-1", *out], ["--dry-run"]),
        (["run", "headline", "model.width=32", "mixture.p_cot=.2"], ["--dry-run"]),
        (["sweep", "tiny", "task.d=4,5", "posttrain.algorithm=star,grpo", "--seeds", "0,1", *out], ["--status"]),
        (["sweep", "tiny", "pretrain.lr=1e-3,1e-4", "--zip", "--workers", "2", "--threads", "1", *out], ["--status"]),
        (["theory", "--modulus", "3", "--p-cot", ".2", "--algorithm", "star", "-d", "9", "--updates", "3"], []),
        (
            ["theory", "--temperature", ".5", "--chain-accuracy", ".9", "--step", ".1", "--group-size", "4"],
            [],
        ),
        (["evaluate", str(run), "d=4", "--temperature", ".7", "--seed", "1"], ["--prompts", "4"]),
        (["sample", str(run), "0110", "--greedy", "--temperature", "1.5"], ["-n", "2"]),
        (["export", str(run), str(work / "model")], []),
        (["watch", str(run.parent), "--every", "1"], ["--once"]),
        (["report", str(run.parent)], []),
        (["recipes"], []),
        (["env", "--json"], []),
        (["run", "llm-tiny-trl", "task.name=words", "pretrain.lr=1e-4", *out], ["--dry-run"]),
    ]


def mutated(line: list[str], draw: random.Random) -> list[str]:
    """The line after one to three changes: a word left out, doubled, moved, replaced, or cut in its middle."""
    words = list(line)
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(words)) if words else 0
        kind = draw.choice(["drop", "double", "move", "replace", "insert", "value", "cut"])
        if kind == "insert" or not words:
            words.insert(place, draw.choice(NASTY))
        elif kind == "drop":
            words.pop(place)
        elif kind == "double":
            words.insert(place, words[place])
        elif kind == "move":
            words.insert(draw.randrange(len(words)), words.pop(place))
        elif kind == "replace":
            words[place] = draw.choice(NASTY)
        elif kind == "value":
            words[place] = f"{words[place].partition('=')[0]}={draw.choice(NASTY)}"
        else:
            words[place] = words[place][: draw.randrange(len(words[place]) + 1)]
    return words


def tried(run: Path, work: Path, number: int, tally: Tally, *, first: int = 0) -> None:
    """Carry out so many mutated lines, nothing timed and nothing trained, and count them."""
    none = cost.Cost(stages={}, evaluations=0.0)
    known = real(run, work)
    with mock.patch.object(cost, "estimate", return_value=none):
        for seed in range(first, first + number):
            draw = random.Random(f"line {seed}")
            line, end = known[seed % len(known)]
            words = [*mutated(line, draw), *end]
            complaint, status = attempt(words)
            short = " ".join(word if len(word) < 60 else f"{word[:20]}...({len(word)})" for word in words)
            tally.add(f"line {seed}: {short!r}", complaint, status)
