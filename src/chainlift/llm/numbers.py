r"""Numbers as people and models write them, read as exact fractions.

`1,234.50`, `$18`, `18 dollars`, `-3/4`, `1 1/2`, `1.5e3`, `18%`, `\frac{3}{4}` and `1{,}234` are numbers; `1,2`, `7 2`
and `72/` are not. A per cent sign is a unit like any other: data sets ask for "what per cent" and write 18, so 18% is
18.
"""

from __future__ import annotations

import re
from fractions import Fraction

MOST_DIGITS = 60
"""Of a number; longer ones are no answers, and work on them would not be bounded."""
MOST_EXPONENT = 30

_LATEX = (
    (re.compile(r"\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"(?<=\d)\s*\\[dt]?frac"), r" \\frac"),
    (re.compile(r"\\[dt]?frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}"), r"\1/\2 "),
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)"), r"\1/\2 "),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[!,;: ]"), ""),
    (re.compile(r"\\([$%])"), r"\1"),
    (re.compile(r"\\(?:left|right)\b"), ""),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)"), " degrees"),
    (re.compile(r"(?<=[A-Za-z} ])\^\{?\d\}?"), ""),  # of a unit: m^2
)
_UNSIGNED = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_EXPONENT = r"(?:[eE][-+]?\d{1,3})?"
_NUMBER = re.compile(
    # A sign stands at its number; behind a digit, a letter or a bracket it is a dash or a difference.
    rf"(?P<sign>(?<![\w)\]])[-+](?=[\d.$€£¥]))?(?:[$€£¥]\s*(?P<sign_2>[-+])?)?"
    rf"(?:(?P<whole>\d+)\s+(?P<mixed_top>\d+)\s*/\s*(?P<mixed_bottom>\d+)"
    rf"|(?P<top>{_UNSIGNED})\s*/\s*(?P<bottom>{_UNSIGNED})"
    rf"|(?P<plain>(?:{_UNSIGNED}){_EXPONENT}))"
)
_BEFORE = re.compile(r"[\w.,/^]$")
_AFTER = re.compile(r"[\d/^]|,\d|\.\d")


_FORMULA = re.compile(  # a root, a pi, ...; a sum or product; a letter minus a number
    r"\\(?!boxed|mathbf|displaystyle)[A-Za-z]|[\w)]\s*[+*]\s*[\w(]|[A-Za-z)]\s*-\s*\d"
)


def read(text: str) -> Fraction | None:
    """The number that a short text is, with a unit or a currency around it; None if it is none, or several, or a
    formula.
    """
    text = _plain(text)
    if _FORMULA.search(re.sub(r"(?<=\d)[eE][-+]?(?=\d)", "", text)):
        return None
    found = _pieces(re.sub(r"^([-+])\s+", r"\1", text))
    return found[0] if len(found) == 1 else None


def find(text: str) -> list[Fraction]:
    """The numbers in a text, in order."""
    return [value for value in _pieces(_plain(text)) if value is not None]


def _pieces(text: str) -> list[Fraction | None]:
    """What looks like numbers, in order; None for a part of something else, as in 1,2 or 72/ or 3.4.5 or v2."""
    found = []
    for match in _NUMBER.finditer(text):
        before, after = text[max(match.start() - 1, 0) : match.start()], text[match.end() : match.end() + 2]
        is_part = _BEFORE.match(before) or _AFTER.match(after)
        found.append(None if is_part else _value(match))
    return found


def _plain(text: str) -> str:
    """A text without the signs of LaTeX, with ASCII minus signs."""
    for sign in ("\u2212", "\u2013"):
        text = text.replace(sign, "-")
    text = text.replace("\u00a0", " ")
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    return text.strip()


def _value(match: re.Match[str]) -> Fraction | None:
    """What one match says; None for an absurd size or a zero below the line."""
    if sum(character.isdigit() for character in match[0]) > MOST_DIGITS:
        return None
    sign = -1 if "-" in (match["sign"] or "") + (match["sign_2"] or "") else 1
    if match["plain"] is not None:
        mantissa, _, exponent = match["plain"].lower().partition("e")
        if exponent and abs(int(exponent)) > MOST_EXPONENT:
            return None
        return sign * Fraction(mantissa.replace(",", "")) * Fraction(10) ** int(exponent or 0)
    whole, top, bottom = (
        (match["whole"], match["mixed_top"], match["mixed_bottom"])
        if match["whole"] is not None
        else ("0", match["top"], match["bottom"])
    )
    below = Fraction(bottom.replace(",", ""))
    return sign * (Fraction(whole) + Fraction(top.replace(",", "")) / below) if below else None
