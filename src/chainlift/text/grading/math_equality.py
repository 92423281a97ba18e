"""Comparison of formulas by math-verify; it runs in a worker process."""

from __future__ import annotations

from typing import Any

from chainlift.text.grading.math_text import formula


def equal(answer: str, expected: str) -> bool:
    """Whether two formulas are the same mathematical object; False if one of them cannot be parsed.

    math-verify's own time limits are off, because they cannot stop C code; the caller ends this process instead.
    The comparison depends on the order: the first formula decides whether an equation is reduced to its right side, and
    only the first becomes a set if it is an inequality. So both orders are tried, except where the second order would
    reduce the expected equation to a number that it does not state.
    """
    from math_verify import parse, verify

    try:
        # A timeout of None means no time limit.
        first = [_as_set(value) for value in parse(formula(expected), parsing_timeout=None)]  # pyright: ignore[reportArgumentType]
        second = [_as_set(value) for value in parse(formula(answer), parsing_timeout=None)]  # pyright: ignore[reportArgumentType]
        rules: dict[str, Any] = {"timeout_seconds": None, "allow_set_relation_comp": True}
        return verify(first, second, **rules) or (
            _is_set_like(first) and _is_set_like(second) and verify(second, first, **rules)
        )
    except MemoryError:
        raise
    except Exception:  # parsers raise anything on formulas that they do not expect
        return False


def _as_set(value: Any) -> Any:
    """The union of several inequalities of one unknown, as in x < 1 or x > 2; any other value unchanged."""
    from sympy import FiniteSet, Union
    from sympy.core.relational import Eq, Relational

    if isinstance(value, FiniteSet) and len(value) > 1:
        parts: list[Any] = list(value.args)
        if all(isinstance(part, Relational) and not isinstance(part, Eq) for part in parts):
            return Union(*(part.as_set() for part in parts)) if len(value.free_symbols) == 1 else value
    return value


def _is_set_like(values: list[Any]) -> bool:
    """Whether a parsed formula is a set or an inequality, and not an equation, a point or a list."""
    from sympy import FiniteSet, Set
    from sympy.core.relational import Eq, Relational
    from sympy.logic.boolalg import And

    value = values[0] if values else None
    return isinstance(value, Set | Relational | And) and not isinstance(value, FiniteSet | Eq)
