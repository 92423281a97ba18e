r"""The grammar of a single number: signs, currencies, separators, fractions, powers of ten, bases and number words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from chainlift.text.grading.number_words import PLURAL_PARTS, SINGLE_PARTS

MAX_DIGITS = 60
"""Most digits of a number; longer numbers have no value, so that the work is bounded."""
MAX_EXPONENT = 30

_FACTORS = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "quadrillion": 10**15, "dozen": 12, "lakh": 10**5, "crore": 10**7, "grand": 10**3,
}  # fmt: skip
_SUFFIXES = {"k": 10**3, "m": 10**6, "mn": 10**6, "mln": 10**6, "b": 10**9, "bn": 10**9, "tn": 10**12}
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3}
_DIVISORS = "|".join(sorted(PLURAL_PARTS, key=len, reverse=True)).replace("-", r"[\s-]")
_ONE_PART = "|".join(sorted(SINGLE_PARTS, key=len, reverse=True)).replace("-", r"[\s-]")

_DIGITS = (
    r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)"
    r"|[1-9]\d{0,2}(?:(?:\ \d{3})+|(?:'\d{3})+|(?:_\d{3})+)(?!\d)|\d+)"
)
_UNSIGNED = rf"(?:{_DIGITS}(?:\.\d+)?|\.\d+)"


def _power(name: str) -> str:
    """Pattern of a power of ten, with or without braces."""
    return rf"10\s*\^\s*(?:\{{\s*(?P<{name}_braced>[-+]?\d{{1,3}})\s*\}}|(?P<{name}>[-+]?\d{{1,3}})(?!\d))"


_NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![\w)\]}}%$-])[-+](?=[\d.$€£¥₹]))?  # behind a word or a bracket it is a dash or a difference
    (?P<currency>(?:(?:(?<![^\W_])(?:US|CA|AU|NZ|HK|C|A|R))?[$€£¥₹₽₩₪₫₺₴₦฿]
        |(?<![^\W_])(?:USD|EUR|GBP|INR|Rs\.?)(?=\s?\d))\s*(?P<sign_2>[-+])?)?
    (?:
        (?P<whole>\d+)(?:\s+and)?\s+(?P<mixed_top>[1-9]\d*)\s*/\s*(?P<mixed_bottom>\d+)
        |(?P<top>{_UNSIGNED})\s*/\s*(?P<bottom>{_UNSIGNED})(?:(?:rd|th)s?(?![^\W\d_]))?
        |(?P<digits>\d+)_(?:\{{\s*(?P<base_braced>\d{{1,2}})\s*\}}|(?P<base>\d{{1,2}})(?!\d))
        |{_power("ten")}
        |(?P<plain>{_UNSIGNED})(?:[eE](?P<exponent>[-+]?\d{{1,3}})(?!\d)|\s*[\u00d7·*xX]\s*{_power("scientific")})?
    )
    (?:\s+and\s+(?:(?P<count>{"|".join(_COUNTS)})[\s-]+)?(?P<part>half|halves|thirds?|quarters?|fourths?)\b
        |[\s-](?P<divisor>{_DIVISORS})\b
        |(?<![\d.,/]1)(?<=1)[\s-](?P<one_part>{_ONE_PART})(?![\w'])(?!\s*-?\s*(?!of\b)[a-zA-Z]))?
    (?P<factors>(?:[\s-]?(?:{"|".join(_FACTORS)})s?\b)*)
    (?P<cents>(?:\s*(?:dollars?|euros?|pounds?|[$€£]))?\s+and\s+\d{{1,2}}\s+(?:cents?|pence)\b)?
    (?P<suffix>\s?(?:[kKM]|mn|mln|bn|tn|(?(currency)[mbB]|(?!)))(?![^\W_]))?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Literal:
    """A number in a text: text[start:end] and its value."""

    start: int
    end: int
    value: Fraction | None
    """None for an absurd size, a digit that the base does not have, or a zero in the denominator."""


def literals(text: str) -> Iterator[Literal]:
    """Everything that looks like a number in a normalized text (number_text.plain), in order."""
    for match in _NUMBER.finditer(text):
        yield Literal(match.start(), match.end(), _value(match))


def _value(match: re.Match[str]) -> Fraction | None:
    """The value of a match of _NUMBER."""
    if sum(character.isdigit() for character in match[0]) > MAX_DIGITS:
        return None
    value = _magnitude(match)
    if value is None:
        return None
    if match["part"]:
        value += Fraction(_COUNTS[match["count"] or "one"], _part(match["part"]))
    divisor = match["divisor"] or match["one_part"]
    if divisor and (divisor != "quarters" or value < 4):  # four and more of them are coins
        value /= _part(divisor)
    for word in re.findall("[a-z]+", match["factors"]):
        value *= _FACTORS[word.removesuffix("s")]
    if match["cents"]:
        value += Fraction(int(re.sub(r"\D", "", match["cents"])), 100)
    if match["suffix"]:
        value *= _SUFFIXES[match["suffix"].strip().lower()]
    return -value if "-" in (match["sign"] or "") + (match["sign_2"] or "") else value


def _part(name: str) -> int:
    """The divisor that a part names, such as 3 for thirds."""
    name = name.replace(" ", "-")
    return PLURAL_PARTS.get(name) or SINGLE_PARTS[name]


def _magnitude(match: re.Match[str]) -> Fraction | None:
    """The value of a match without sign and number words."""
    if match["whole"]:
        part = _ratio(match["mixed_top"], match["mixed_bottom"])
        return None if part is None or part >= 1 else int(match["whole"]) + part
    if match["top"]:
        return _ratio(match["top"], match["bottom"])
    if match["digits"]:
        base = int(match["base"] or match["base_braced"])
        fits = 2 <= base <= 10 and all(int(digit) < base for digit in match["digits"])
        return Fraction(int(match["digits"], base)) if fits else None
    names = ("exponent", "scientific", "scientific_braced", "ten", "ten_braced")
    exponent = int(next((match[name] for name in names if match[name]), "0"))
    if abs(exponent) > MAX_EXPONENT:
        return None
    return _decimal(match["plain"] or "1") * Fraction(10) ** exponent


def _ratio(top: str, bottom: str) -> Fraction | None:
    """The fraction top/bottom; None if bottom is zero."""
    denominator = _decimal(bottom)
    return _decimal(top) / denominator if denominator else None


def _decimal(text: str) -> Fraction:
    """The value of a decimal number with separators."""
    return Fraction(re.sub("[ ,'_]", "", text))
