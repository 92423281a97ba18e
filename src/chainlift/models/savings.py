"""The engine's savings that change no result, each with a name, so that tests and benchmarks can switch it on and off.

Results are equal up to rounding, and only the time and the memory differ. A run uses all of them but those in
UNPROVEN, which cost more time than they saved where they were measured (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

SAVINGS = {
    "suffix only": "the last block, the norm and the head read no position whose next token has no loss",
    "buckets": "short and long sequences are read apart, so no padding is multiplied",
    "lookup": "the first block's queries, keys and values come from a table with one row a token and position",
    "drafts": "a sampled response is checked against the gold one in one pass, and sampled on where they part",
    "equal samples": "what a prompt's samples have in common is computed once: the first token's distribution, the "
    "draft, and in the update equal responses",
    "compaction": "finished rows leave the batch while it is sampled",
    "shared prompts": "a group's prompt is read once for all its samples, in sampling and in the update",
    "zero advantage": "rows whose advantage is zero are left out of the update",
    "cuda graphs": "on a GPU a decoding step is recorded once and replayed: Python launches nothing token by token",
    "micro-batches": "a batch is read in parts whose activations stay near the caches",
}
UNPROVEN = ("cuda graphs",)
_off: set[str] = set(UNPROVEN)


def on(name: str) -> bool:
    """The saving is in use."""
    assert name in SAVINGS, name
    return name not in _off


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Some savings switched off inside the block; ValueError for a name that is not among SAVINGS."""
    with _changed(_off.union, names):
        yield


@contextmanager
def using(*names: str) -> Iterator[None]:
    """Some savings switched on inside the block; ValueError for a name that is not among SAVINGS."""
    with _changed(_off.difference, names):
        yield


@contextmanager
def _changed(change: Callable[[tuple[str, ...]], set[str]], names: tuple[str, ...]) -> Iterator[None]:
    """What `change` makes of those that are off, inside the block."""
    unknown = [name for name in names if name not in SAVINGS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no saving; known: {', '.join(SAVINGS)}")
    before, after = set(_off), change(names)
    _off.clear()
    _off.update(after)
    try:
        yield
    finally:
        _off.clear()
        _off.update(before)
