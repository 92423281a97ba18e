"""Whether two formulas are the same mathematical object, by math-verify; runs in a worker process."""

from __future__ import annotations

from typing import Any

from chainlift.text.grading.math_text import formula


def equal(answer: str, expected: str) -> bool:
    """Whether an answer equals what is expected; False for what cannot be read.

    math-verify's own clocks are off, as they cannot stop what hangs inside C code; a process that runs this is ended
    from outside. Its comparison depends on the order of the two: an equation is reduced to its right side as the first
    one says, and an inequality is turned into a set only if it is the first. So both orders are tried, except where
    that would reduce the expected equation to a number that it does not say.
    """
    from math_verify import parse, verify

    try:
        # None: no clock
        first = [_as_set(one) for one in parse(formula(expected), parsing_timeout=None)]  # pyright: ignore[reportArgumentType]
        second = [_as_set(one) for one in parse(formula(answer), parsing_timeout=None)]  # pyright: ignore[reportArgumentType]
        rules: dict[str, Any] = {"timeout_seconds": None, "allow_set_relation_comp": True}
        return verify(first, second, **rules) or (
            _goes_both_ways(first) and _goes_both_ways(second) and verify(second, first, **rules)
        )
    except MemoryError:
        raise
    except Exception:  # it meets formulas that nobody thought of, and knows no answer then
        return False


def _as_set(value: Any) -> Any:
    """Several inequalities of one unknown, x < 1 or x > 2, as the set that they describe; all else as it is."""
    from sympy import FiniteSet, Union
    from sympy.core.relational import Eq, Relational

    if isinstance(value, FiniteSet) and len(value) > 1:
        parts = list(value.args)
        if all(isinstance(part, Relational) and not isinstance(part, Eq) for part in parts):
            return Union(*map(_solutions, parts)) if len(value.free_symbols) == 1 else value
    return value


def _solutions(inequality: Any) -> Any:
    """The numbers that an inequality allows."""
    return inequality.as_set()


def _goes_both_ways(values: list[Any]) -> bool:
    """Whether what was read is a set or an inequality, and no equation, point or list."""
    from sympy import FiniteSet, Set
    from sympy.core.relational import Eq, Relational
    from sympy.logic.boolalg import And

    value = values[0] if values else None
    return isinstance(value, Set | Relational | And) and not isinstance(value, FiniteSet | Eq)
