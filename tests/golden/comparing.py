"""The differences between recorded numbers and those of a run made now, one line each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tests.golden.cases import ROUNDED
from tests.golden.recording import Numbers

RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""Tolerance on machines whose arithmetic is another. Restricting PyTorch, MKL and oneDNN to AVX2 and to SSE4 moved no
number by more than 5e-5 and changed no token, except in the cases of ROUNDED.
"""


def differences(case: str, recorded: Numbers, now: Numbers, *, exact: bool) -> Iterator[str]:
    """Lines that name case, quantity, step, recorded and found value.

    exact: every bit counts. Otherwise numbers may differ by the tolerance, and responses are not compared: one token
    that falls the other way is another response.
    """
    relative = None if exact else ROUNDED.get(case, RELATIVE)
    for kind in [*recorded, *(kind for kind in now if kind not in recorded)]:
        if not exact and not _is_comparable(case, kind):
            continue
        before, after = recorded.get(kind, {}), now.get(kind, {})
        if before.get("step") != after.get("step"):
            yield f"{case}: {kind}: recorded at steps {before.get('step')}, found at steps {after.get('step')}"
            continue
        steps = before["step"]
        nothing = [None] * len(steps)
        for name in [*before, *(name for name in after if name not in before)]:
            for step, old, new in zip(steps, before.get(name, nothing), after.get(name, nothing), strict=True):
                if not _agree(old, new, relative):
                    yield f"{case}: {kind} {name}, step {step}: recorded {old!r}, found {new!r}{_size(old, new)}"


def _is_comparable(case: str, kind: str) -> bool:
    """Whether the rows of a kind may be compared with another machine's."""
    return kind == "pretrain/update" if case in ROUNDED else not kind.endswith("/responses")


def _agree(old: Any, new: Any, relative: float | None) -> bool:
    """Whether two values are equal: to the bit, or with a relative tolerance the numbers up to that."""
    if isinstance(old, float) and isinstance(new, float) and relative is not None:
        return math.isclose(old, new, rel_tol=relative, abs_tol=ABSOLUTE)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_agree(a, b, relative) for a, b in zip(old, new, strict=True))
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_agree(old[key], new[key], relative) for key in old)
    return type(old) is type(new) and repr(old) == repr(new)  # tells 0.0 from -0.0 and from 0


def _size(old: Any, new: Any) -> str:
    """How large a difference is, in words, where both are numbers."""
    if not (isinstance(old, (int, float)) and isinstance(new, (int, float))) or old == 0:
        return ""
    return f" (relative difference {abs(new - old) / abs(old):.1e})"
