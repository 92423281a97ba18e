"""The engine's savings that change no result, each with a name, so that tests and benchmarks can switch it off.

A run never switches one off: results are equal up to rounding, and only the time and the memory differ.
"""

from __future__ import annotations

from collections.abc import Iterator
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
_off: set[str] = set()


def on(name: str) -> bool:
    """The saving is in use."""
    assert name in SAVINGS, name
    return name not in _off


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Some savings switched off inside the block; ValueError for a name that is not among SAVINGS."""
    unknown = [name for name in names if name not in SAVINGS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no saving; known: {', '.join(SAVINGS)}")
    before = set(_off)
    _off.update(names)
    try:
        yield
    finally:
        _off.clear()
        _off.update(before)
