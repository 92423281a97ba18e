r"""Comparison of formulas as texts: a normalized spelling, and the cases that texts alone decide.

A formula that is written like the right answer is right without any algebra. Some answers differ from the right one in
ways that a computer algebra system overlooks: `1101_3` for `1101_2`, `5\text{ million}` for `5`, `\le 5` for `5`.
"""

from __future__ import annotations

import re
from itertools import accumulate

from chainlift.text.grading import numbers
from chainlift.text.grading.number_text import plain

_UNESCAPED_DOLLAR = re.compile(r"(?<!\\)(?:\\\\)*\$")
_WHOLE = re.compile(r"\$\$([^$]+)\$\$|\$((?:\\\$|[^$])+)(?<!\\)\$|\\\((.*)\\\)|\\\[(.*)\\\]", re.DOTALL)
_DELIMITED = re.compile(r"\\\(|\\\[")
_SIGNS = {
    "\u2212": "-", "\u2013": "-", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "π": r"\pi ", "∞": r"\infty ",
    "√": r"\sqrt ", "\u00d7": r"\times ", "·": r"\cdot ", "∅": r"\emptyset ",
    "\u222a": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "°": r"^\circ ",
    "±": r"\pm ", "²": "^2", "³": "^3", "\u00a0": " ", "\u2009": " ", "\u202f": " ",
}  # fmt: skip
_REWRITES = (
    (re.compile(r"\\\\|(\\[dtc]frac(?![a-zA-Z]))"), lambda match: r"\frac" if match[1] else match[0]),
    (re.compile(r"\\(?:left|right|displaystyle|limits|bigl?|bigr|Bigl?|Bigr)(?![a-zA-Z])\.?"), ""),
    (re.compile(r"\\(?:[,!;:> ]|quad(?![a-zA-Z])|qquad(?![a-zA-Z]))|(?<!\\)~"), " "),
    (re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\langle(?![a-zA-Z])"), "("),
    (re.compile(r"\\rangle(?![a-zA-Z])"), ")"),
    (re.compile(r"\\leq(?:slant)?(?![a-zA-Z])"), r"\\le"),
    (re.compile(r"\\geq(?:slant)?(?![a-zA-Z])"), r"\\ge"),
    (re.compile(r"\\neq(?![a-zA-Z])"), r"\\ne"),
    (re.compile(r"\\varnothing(?![a-zA-Z])"), r"\\emptyset"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\sqrt\s*(\d)"), r"\\sqrt{\1}"),
    (re.compile(r"\^\s*\{\s*(\w|\\circ)\s*\}"), r"^\1"),
    (re.compile(r"_\s*\{\s*(\w)\s*\}"), r"_\1"),
    (re.compile(r"\\[$%]|\$"), lambda match: "%" if "%" in match[0] else ""),
)
_SYNONYMS = (
    re.compile(r"\\emptyset|\\\{\\\}|none|(?:the )?empty set|(?:there (?:is|are) )?no (?:real )?(?:solutions?|roots?)"),
    re.compile(r"\\mathbb\{?r\}?|-\\infty,\\infty|(?:all |the )?(?:real numbers|reals)"),
    re.compile(r"dne|(?:it )?does not exist"),
    re.compile(r"\\infty|infinity"),
)
"""Answers in words, each with the signs of the same meaning."""
_POINTS = re.compile(r"[A-Z]{2,}")
"""Names of points, or letters in an order; they are not products."""
_REPEATING = re.compile(r"(\d{0,20})\.(\d{0,20})\\overline\s*\{?(\d{1,20})\}?")
_UNFINISHED = re.compile(r"[-+*/^=]$")
_RELATION = re.compile(r"[<>]|\\(?:le|ge|lt|gt|ne)(?![a-zA-Z])")
_BASED = re.compile(r"0*([0-9A-F]+)_\{?(\d{1,2})\}?")
_ANNOUNCED = re.compile(r"(?<!\w)(?:is|are)(?!\w)|:\s")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_EMPHASIS = re.compile(r"(\*{1,3}|_{2})(?=[^\s*_])([^*]*[^\s*_])\1[.,;]?")


def without_emphasis(text: str) -> str:
    """The text without Markdown's signs of emphasis, if they enclose all of it: `**72**`."""
    emphasized = _EMPHASIS.fullmatch(text.strip())
    return emphasized[2] if emphasized else text


def formula(text: str) -> str:
    """The text in the form that math-verify parses: a bare formula between dollar signs, without currency."""
    text = text.strip()
    whole = _WHOLE.fullmatch(text.rstrip(".,; "))
    if whole and len(_UNESCAPED_DOLLAR.findall(text)) in (0, 2, 4):
        text = next(part for part in whole.groups() if part is not None)
    dollars = len(_UNESCAPED_DOLLAR.findall(text))
    text = _REPEATING.sub(_repeating, re.sub(r"\\\$", "", text))
    text = re.sub(r"\\[dt]?binom\s*(\d)\s*(\d)", r"\\binom{\1}{\2}", text)
    if dollars % 2:
        text = text.replace("$", "")
    return text if has_formula(text) else f"${text}$"


def _repeating(match: re.Match[str]) -> str:
    """A repeating decimal as a fraction: all digits minus the fixed ones, over as many nines and zeros."""
    whole, fixed, repeated = match.groups()
    top = int(whole + fixed + repeated) - int(whole + fixed or "0")
    return rf"\frac{{{top}}}{{{'9' * len(repeated)}{'0' * len(fixed)}}}"


def depth(text: str) -> int:
    """The largest number of brackets that are open at once."""
    open_brackets = accumulate({"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(sign, 0) for sign in text)
    return max(open_brackets, default=0)


def has_formula(text: str) -> bool:
    r"""Whether the text has a formula between unescaped dollar signs, \( \) or \[ \]."""
    return len(_UNESCAPED_DOLLAR.findall(text)) > 1 or _DELIMITED.search(text) is not None


def answer_in_prose(text: str) -> str:
    """The answer in a text without mark and box: the last line with a formula, preferably one that names the answer.

    Without a formula between signs it is the end of the last line, after `is` or a colon.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    with_formula = [line for line in lines if has_formula(line)]
    answer_lines = [line for line in with_formula if "answer" in line.lower()]
    if with_formula:
        return (answer_lines or with_formula)[-1].strip()
    return _ANNOUNCED.split(lines[-1])[-1].strip() if lines else ""


def equal_as_texts(answer: str, expected: str) -> bool | None:
    """Whether two answers are equal, if their texts alone decide; None if algebra has to."""
    first, second = normalized(answer), normalized(expected)
    if first == second and first:
        return True
    words = [_in_words(first), _in_words(second)]
    if any(all(map(synonyms.fullmatch, words)) for synonyms in _SYNONYMS):
        return True
    if _WORD.search(second) and words[0] == words[1]:
        return True
    if _POINTS.fullmatch(first) and _POINTS.fullmatch(second):
        return first == second
    based = [_BASED.fullmatch(text) for text in (first, second)]
    if any(based):
        return all(based) and based[0].groups() == based[1].groups()  # pyright: ignore[reportOptionalMemberAccess]
    if _kind(first) != _kind(second) and None not in (_kind(first), _kind(second)):
        return False
    return _equal_as_numbers(answer, expected, first, second)


def normalized(text: str) -> str:
    """The formula in one spelling: without delimiters, spaces, sizes and currency signs, each command in one form."""
    text = text.strip().rstrip(".,; ")
    whole = _WHOLE.fullmatch(text)
    if whole:
        text = next(part for part in whole.groups() if part is not None)
    for sign, command in _SIGNS.items():
        text = text.replace(sign, command)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return re.sub(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])", "", re.sub(r"\s+", " ", text)).strip(". ")


def _in_words(text: str) -> str:
    """The text in lower case without hyphens and brackets, for answers in words: a name, a choice, no solution."""
    return " ".join(re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text.casefold()).strip("(). ").split())


def _kind(text: str) -> str | None:
    """The kind of object that the outer brackets make: "set" for braces, "tuple" for intervals, points and tuples."""
    if text.startswith(r"\{") and text.endswith(r"\}"):
        return "set"
    return "tuple" if text[:1] in tuple("([") and text[-1:] in tuple(")]") and "," in text else None


def _equal_as_numbers(answer: str, expected: str, first: str, second: str) -> bool | None:
    """Whether two answers are equal as exact fractions; None unless both are plain numbers.

    math-verify decides about rounding and percentages.
    """
    if "=" in first + second:
        return None
    values = [numbers.read(answer), numbers.read(expected)]
    if values[1] is None:
        return None
    if _UNFINISHED.search(first):
        return False
    if values[0] is None:  # 5 or more, > 5
        return False if _WORD.search(plain(answer)) or _RELATION.match(first) else None
    if begins_with_letters(answer) or begins_with_letters(expected):
        return None
    if values[0] == values[1]:
        return True
    is_near = abs(values[0] - values[1]) * 10**6 <= abs(values[1])
    return None if is_near or "%" in first + second else False


def begins_with_letters(text: str) -> bool:
    """Whether letters other than the currency USD precede the number, as in June 20."""
    return re.match(r"[^\d]*[^\W\d_]", plain(text).strip().removeprefix("USD")) is not None
