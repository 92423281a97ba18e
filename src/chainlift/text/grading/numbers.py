r"""Numbers as people and models write them, read as exact fractions.

`1,234.50`, `1 000`, `$18`, `$18/hour`, `18 dollars`, `-3/4`, `1 1/2`, `1½`, `1.5e3`, `2 × 10^3`, `18%`, `\frac{3}{4}`,
`1{,}234`, `1 million`, `5k`, `2 dozen` and `3 * 5 = 15` are numbers; `1,2`, `7 2`, `72/`, `18!`, `5²`, `2π` and `> 18`
are not. A per cent sign is a unit like any other: data sets ask for "what per cent" and write 18, so 18% is 18. What is
not worked out, as `3 * 5` or `5²`, is not a number: the question asks for an answer.
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

LONGEST = 2000
"""Characters of an answer; a longer one is none."""
WINDOW = 600
"""Characters that are read on both sides of the last digit of a text, within its line."""

_LAST_DIGIT = re.compile(r"(?s:.*)[\d¼-¾⅐-⅞]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_SEPARATOR = re.compile(r"\s*(?:=+|[≈≃≅→])\s*|(?<!\w)(?:equals?|is|are|was|were)(?!\w)")
_LIST = re.compile(r",\s|;|(?<!\w)(?:or|and)(?!\w)")
_NOTE = re.compile(  # in brackets behind the number, not a product: it has words, or says what is equal
    r"(?<=[\w%.$°*])\s+\((?!\s*(?:or|to|and|base|in\s+base|log|ln|sqrt|sin|cos|tan|exp)\b)"
    r"(?=[^()]*(?:[A-Za-z]{3}|[=≈]))[^()]*\)"
)
_AGAIN = re.compile(r"([^()]*[^()\s])\s+\(([^()]*\d[^()]*)\)")
_TAIL = re.compile(
    r"(?<=[\w%.$°])(?:,?\s+(?:when\s+)?rounded(?:\s+(?:up|down|off))?\s+from(?!\w).*|,\s+(?:not|instead\s+of)(?!\w).*)"
)
_TIMES = re.compile(r"(?<=\d)\s*[xX]\s*(?=[\d$(])")
_UNKNOWN = re.compile(  # a letter that is calculated with, and no unit
    r"\d\s*[b-fijkn-rt-z](?![^\W\d_])"
    r"|(?<![^\W\d_'])[b-fijkn-rt-z]\s*[-+*/^\u00d7·]|[-+*/^\u00d7·]\s*[b-fijkn-rt-z](?![^\W\d_])"
)
_OPENING_SIGN = re.compile(r"^(?:([-+])\s*|(?:minus|negative)\s+)(?=[\d.$€£¥₹])", re.IGNORECASE)


@lru_cache(maxsize=4096)  # a problem's samples have one right answer, and often the same wrong ones
def read(text: str) -> Fraction | None:
    """The number that a short text is, with a unit or a currency around it; None if it is none, or several, or a
    formula.

    Of an equation it is what follows the last equals sign, of several sentences what the first one says.
    """
    sentences = _sentences(plain(text)) if len(text) <= LONGEST else []
    return _of_sentence(sentences[0]) if sentences else None


def last(text: str) -> Fraction | None:
    """What the last number of a text is; None where it is a part of something else, or there is none."""
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
    """What a sentence or an equation says."""
    found = list(literals(text))
    if found and is_denied(text, found[-1].start, found[-1].end):  # before a note that says so is dropped
        return None
    text = _TAIL.sub("", _NOTE.sub("", text))
    sides = [side for side in (part.strip() for part in _SEPARATOR.split(text)) if side]
    values = [_of_side(side) for side in sides]
    known = [value for value in values if value is not None]
    if not known:
        return None
    if values[-1] is None:
        others = [side for side, value in zip(sides, values, strict=True) if value is None]
        return known[0] if len(known) == 1 and all(map(_says_no_number, others)) else None
    if any(_LIST.search(side) and re.search(r"\d", side) for side in sides[1:-1]):  # x = 3, y = 4
        return None
    if any(_UNKNOWN.search(_TIMES.sub("*", side)) for side in sides[:-1]):  # 3x = 18
        return None
    stated = [value for side, value in zip(sides, values, strict=True) if re.fullmatch(r"[-+$]?[\d.,]+", side)]
    is_one = "≈" in text or all(value == values[-1] for value in stated)  # 17 = 18
    return values[-1] if is_one else None


def _says_no_number(side: str) -> bool:
    """Whether the other side, as in 5 = x or 15 = 3 * 5, is words or a name, or arithmetic without names."""
    return re.fullmatch(r"[\d\s.,$()*/+·\u00d7÷-]+", side) is not None or (
        is_harmless(side) and not re.search(r"\d", side)
    )


def _of_side(text: str) -> Fraction | None:
    """What one side of an equation is: one number, with words around it, or again in brackets."""
    again = _AGAIN.fullmatch(text)
    if again:
        value = _of_side(again[1])
        return value if value is not None and value == _of_side(again[2]) else None
    text = _OPENING_SIGN.sub(lambda match: match[1] or "-", text)
    found = list(literals(text))
    if len(found) != 1 or found[0].value is None or is_other_thing(text, found[0].start, found[0].end):
        return None
    return found[0].value if is_harmless(text[: found[0].start] + " " + text[found[0].end :]) else None


def _numbers(text: str) -> list[Fraction | None]:
    """What looks like numbers, in order; None for a part of something else, as in 1,2 or 72/ or 3.4.5 or v2."""
    found = list(literals(text))
    values = [None if is_other_thing(text, one.start, one.end) else one.value for one in found]
    for number, (one, two) in enumerate(pairwise(found), start=1):
        if is_second_part(text[one.end : two.start], text[two.end :]):
            values[number] = None
    return values
