"""What a worker process of the formula grader does; it imports math-verify and nothing heavy of ours."""

from __future__ import annotations

import logging
import resource

MEMORY = 3 * 2**30
"""Bytes of address space: a power of powers would else take all that the machine has before its time is up."""


def prepare() -> None:
    """Bound the memory of this process, and load the parsers before any clock runs."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable(logging.CRITICAL)
    verdict("1", "1")


def verdict(found: str, expected: str) -> bool:
    """Whether two texts are the same mathematical object, by math-verify.

    Its own clocks are off, as they cannot stop what hangs inside of C code; this process is ended from outside.
    """
    from math_verify import parse, verify

    try:
        gold = parse(_latex(expected), parsing_timeout=None)  # pyright: ignore[reportArgumentType] (None: no clock)
        read = parse(_latex(found), parsing_timeout=None)  # pyright: ignore[reportArgumentType]
        return verify(gold, read, timeout_seconds=None)
    except MemoryError:
        raise
    except Exception:  # it meets formulas that nobody thought of, and knows no answer then
        return False


def _latex(text: str) -> str:
    """A text as math-verify looks for formulas in it: a bare one between dollar signs."""
    return text if "$" in text or "\\boxed" in text or "\\(" in text or "\\[" in text else f"${text}$"
