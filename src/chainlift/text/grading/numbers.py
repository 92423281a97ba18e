r"""Numbers as people and models write them, read as exact fractions.

`1,234.50`, `1 000`, `$18`, `$18/hour`, `18 dollars`, `-3/4`, `1 1/2`, `1½`, `1.5e3`, `2 × 10^3`, `18%`, `\frac{3}{4}`,
`1{,}234`, `1 million`, `5k`, `2 dozen` and `3 * 5 = 15` are numbers; `1,2`, `7 2`, `72/`, `18!`, `5²`, `2π` and `> 18`
are not. A percent sign is a unit like any other: data sets ask "what percent" and write 18, so 18% is 18. Unevaluated
expressions such as `3 * 5` or `5²` are not numbers, because the question wants the result.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from chainlift.text.grading.number_context import is_harmless, is_other_thing
from chainlift.text.grading.number_literal import literals
from chainlift.text.grading.number_text import plain
from chainlift.text.grading.number_words import is_denied, is_second_part

MAX_CHARACTERS = 2000
"""A longer text does not count as an answer."""
WINDOW = 600
"""Characters to read on both sides of the last digit of a text, within its line."""

_LAST_DIGIT = re.compile(r"(?s:.*)[\d¼-¾⅐-⅞]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_SEPARATOR = re.compile(r"\s*(?:=+|[≈≃≅→])\s*|(?<!\w)(?:equals?|is|are|was|were)(?!\w)")
_LIST = re.compile(r",\s|;|(?<!\w)(?:or|and)(?!\w)")
_NOTE = re.compile(  # in brackets after the number; it is not a product, as it has words or an equals sign
    r"(?<=[\w%.$°*])\s+\((?!\s*(?:or|to|and|base|in\s+base|log|ln|sqrt|sin|cos|tan|exp)\b)"
    r"(?=[^()]*(?:[A-Za-z]{3}|[=≈]))[^()]*\)"
)
_AGAIN = re.compile(r"([^()]*[^()\s])\s+\(([^()]*\d[^()]*)\)")
_TAIL = re.compile(
    r"(?<=[\w%.$°])(?:,?\s+(?:when\s+)?rounded(?:\s+(?:up|down|off))?\s+from(?!\w).*|,\s+(?:not|instead\s+of)(?!\w).*)"
)
_TIMES = re.compile(r"(?<=\d)\s*[xX]\s*(?=[\d$(])")
_UNKNOWN = re.compile(  # a letter that is a variable and not a unit
    r"\d\s*[b-fijkn-rt-z](?![^\W\d_])"
    r"|(?<![^\W\d_'])[b-fijkn-rt-z]\s*[-+*/^\u00d7·]|[-+*/^\u00d7·]\s*[b-fijkn-rt-z](?![^\W\d_])"
)
_OPENING_SIGN = re.compile(r"^(?:([-+])\s*|(?:minus|negative)\s+)(?=[\d.$€£¥₹])", re.IGNORECASE)


@lru_cache(maxsize=4096)  # a problem's samples have one right answer, and often the same wrong ones
def read(text: str) -> Fraction | None:
    """The number in a short text, at most with a unit or a currency; None for no number, several, or a formula.

    In an equation it is the number after the last equals sign; of several sentences the first one counts.
    """
    sentences = _sentences(plain(text)) if len(text) <= MAX_CHARACTERS else []
    return _of_sentence(sentences[0]) if sentences else None


def last(text: str) -> Fraction | None:
    """The last number of a text; None if there is none, or if it is part of something else."""
    digit = _LAST_DIGIT.match(text)
    if digit is None:
        return None
    start = max(text.rfind("\n", 0, digit.end()) + 1, digit.end() - WINDOW)
    end = text.find("\n", digit.end())
    end = min(end if end >= 0 else len(text), digit.end() + WINDOW)
    sentences = _sentences(plain(text[start:end]))
    if not sentences:
        return None
    value = _of_sentence(sentences[-1])
    return value if value is not None else next(reversed(_numbers(sentences[-1])), None)


def _sentences(text: str) -> list[str]:
    """The sentences with a digit."""
    return [part for part in _SENTENCE_END.split(text) if re.search(r"\d", part)]


def _of_sentence(text: str) -> Fraction | None:
    """The number that a sentence or an equation states."""
    numbers_found = list(literals(text))
    if numbers_found and is_denied(text, numbers_found[-1].start, numbers_found[-1].end):  # notes may deny it
        return None
    text = _TAIL.sub("", _NOTE.sub("", text))
    sides = [side for side in (part.strip() for part in _SEPARATOR.split(text)) if side]
    values = [_of_side(side) for side in sides]
    stated = [value for value in values if value is not None]
    if not stated:
        return None
    if values[-1] is None:
        others = [side for side, value in zip(sides, values, strict=True) if value is None]
        return stated[0] if len(stated) == 1 and all(map(_has_no_value, others)) else None
    if any(_LIST.search(side) and re.search(r"\d", side) for side in sides[1:-1]):  # x = 3, y = 4
        return None
    if any(_UNKNOWN.search(_TIMES.sub("*", side)) for side in sides[:-1]):  # 3x = 18
        return None
    bare = [value for side, value in zip(sides, values, strict=True) if re.fullmatch(r"[-+$]?[\d.,]+", side)]
    is_consistent = "≈" in text or all(value == values[-1] for value in bare)  # 17 = 18 is not
    return values[-1] if is_consistent else None


def _has_no_value(side: str) -> bool:
    """Whether the other side of an equation is words, a name or arithmetic without names: 5 = x, 15 = 3 * 5."""
    return re.fullmatch(r"[\d\s.,$()*/+·\u00d7÷-]+", side) is not None or (
        is_harmless(side) and not re.search(r"\d", side)
    )


def _of_side(text: str) -> Fraction | None:
    """The number on one side of an equation, with words around it, or repeated in brackets."""
    again = _AGAIN.fullmatch(text)
    if again:
        value = _of_side(again[1])
        return value if value is not None and value == _of_side(again[2]) else None
    text = _OPENING_SIGN.sub(lambda match: match[1] or "-", text)
    numbers_found = list(literals(text))
    if len(numbers_found) != 1:
        return None
    number = numbers_found[0]
    if number.value is None or is_other_thing(text, number.start, number.end):
        return None
    return number.value if is_harmless(text[: number.start] + " " + text[number.end :]) else None


def _numbers(text: str) -> list[Fraction | None]:
    """Values of all numbers, in order; None for a part of something else, as in 1,2 or 72/ or 3.4.5 or v2."""
    numbers_found = list(literals(text))
    values = [None if is_other_thing(text, number.start, number.end) else number.value for number in numbers_found]
    for i, (first, second) in enumerate(pairwise(numbers_found), start=1):
        if is_second_part(text[first.end : second.start], text[second.end :]):
            values[i] = None
    return values
