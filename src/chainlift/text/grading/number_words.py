"""Words beside a number that change it: ordinals as divisors, multipliers, number words, functions, denials.

`5 twelfths`, `9 doubled`, `twenty 5`, `reciprocal of 9`, `wrong: 9` and the 3 of `5 ft 3 in` are not these numbers.
Similar words in `5 months`, `18 third graders` or `4 two-liter bottles` are units.
"""

from __future__ import annotations

import re

_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ODD_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
_ODD_ORDINALS |= {"twelve": "twelfth"}


def _ordinal(word: str) -> str:
    """The ordinal of a number word."""
    return _ODD_ORDINALS.get(word) or (word.removesuffix("y") + "ie" if word.endswith("y") else word) + "th"


def _parts() -> dict[str, int]:
    """{name of a part, in the singular: its divisor}; `second` is left out, as a unit of time."""
    parts = {"half": 2, "quarter": 4}
    parts |= {_ordinal(word): value for value, word in enumerate(_ONES + _TEENS, start=1) if value > 2}
    for tens, word in enumerate(_TENS, start=2):
        parts[_ordinal(word)] = 10 * tens
        for ones, name in enumerate(_ONES, start=1):
            parts[f"{word}-{_ordinal(name)}"] = 10 * tens + ones
    return parts | {
        "hundredth": 10**2,
        "thousandth": 10**3,
        "millionth": 10**6,
        "billionth": 10**9,
        "trillionth": 10**12,
    }


SINGLE_PARTS = _parts()
PLURAL_PARTS = {"halves" if name == "half" else name + "s": value for name, value in SINGLE_PARTS.items()}

_SMALL = "|".join([*_ONES, *_TEENS, *_TENS])
_LARGE = r"hundred|thousand|[a-z]*illion|dozen|lakh|crore|myriad|score|gross"
_WORD = rf"(?:{_SMALL}|{_LARGE})"
_ORDINALS = "|".join(name for name in SINGLE_PARTS if "-" not in name)
_ORDINARY = (  # words that end like an ordinal
    r"\w*(?:month|width|length|breadth|path|cloth|bath|depth|moth|booth|mouth|birth|death|myth|truth|youth|growth|hearth"
    r"|heath|wreath|breath|strength|sloth|broth|froth|berth|girth|warmth|smith|stealth|sheath|swath|lath|faith|oath"
    r"|goth|mammoth|behemoth|labyrinth|plinth|math|health|wealth|earth|worth)s"
)
_CHANGED = r"doubled|halved|tripled|trebled|quadrupled|quintupled|squared|cubed|negated|inverted|reversed"
_FUNCTIONS = (
    r"reciprocals?|inverses?|opposites?|negations?|negatives?|complements?|conjugates?|logarithms?|factorials?|cosine|sine"
    r"|tangent|successor|predecessor|square|cube|(?:square|cube)\s+root|absolute\s+value"
)

_MULTIPLIED = re.compile(
    rf"\s+(?:[a-z]+\s+)?(?:{_CHANGED})\b|\s*,\s*(?:{_CHANGED})\b|\s*-\s*(?:{_CHANGED})\b"
    r"|[\s-]+(?:twice|thrice|(?:half|quarter)(?!-[a-z])|myriads?|brace|thou|[a-z]*illions?)\b"
    r"|[\s-]+(?:double|triple|treble|quadruple)(?![\w'])(?!\s*-?\s*[a-z])"
    r"|[\s-]+(?!(?:blind|scaf|mani|bill|pin)fold\b)[a-z]*fold\b"
    rf"|[\s-]+(?!{_ORDINARY}\b)[a-z]*ths\b"
    rf"|[\s-]+(?:{_ORDINALS})(?![\w'])(?!\s*-?\s*(?!of\b)[a-z])"  # 18 third graders are 18
    rf"|(?:'s)?[\s-]+(?:{_FUNCTIONS})(?![\w'])(?!\s*-?\s*[a-z])"
    rf"|\s+(?:to|in|or|out\s+of)\s+{_WORD}(?![\w'])(?!\s*-?\s*[a-z])"
    rf"|[\s-]+(?:{_SMALL}|tens|hundreds|thousands)(?:[\s-]+(?:{_WORD}|(?:{_ORDINALS}|half|halves|quarter)s?)\b"
    r"|(?![\w'])(?!\s*-?\s*[a-z]))",  # 4 two-liter bottles are 4
    re.IGNORECASE,
)
_GROUP = re.compile(r"[\s-]+(?:pair|couple)\b(?!\s+of\b)", re.IGNORECASE)
_GOES_ON = re.compile(rf"[\s-]+(?:and\s+)?(?:{_WORD}|\d)", re.IGNORECASE)
_NUMBER_BEFORE = re.compile(
    rf"(?<![^\W_])(?:{_WORD}s?(?:\s+(?:and|to|or|out\s+of))?[\s-]+|(?:{_FUNCTIONS}|multiples?|factors?|divisors?|fraction)\s+(?:of|for|to)"
    r"\s+(?:(?:the\s+)?(?:number|integer|value|digit)\s+)?|(?:reciprocal|inverse|opposite)\s+)[({\[$]*\s*$",
    re.IGNORECASE,
)
_NO = r"wrong|incorrect|false|untrue|invalid|mistaken|erroneous"
_DENIED_BEFORE = re.compile(
    rf"(?<![^\W_])(?:(?:never|neither|cannot|hardly|without|no|unlike|excluding|instead\s+of|(?:anything|all|everything)\s+but|far\s+from"
    rf"|other\s+than)(?:\s+(?:be|equals?|is|was|exactly))?|(?:{_NO})(?:\s+(?:answer|result|number|value|solution)"
    r"(?:\s+(?:is|was|would\s+be))?)?)\s*[:=]?\s*[({\[\"'$]*$",
    re.IGNORECASE,
)
_DENIED_BEHIND = re.compile(
    rf"[^\d.;]*?(?<!\w)(?:is|are|was|were|be|seems|looks)\s+(?:[a-z]+\s+)?(?:{_NO}|(?:an?\s+)?(?:mistake|error)"
    rf"|never|impossible)\b|\s*(?:[:;,-]\s*|\(\s*)(?:{_NO}|never|{_CHANGED})\b",
    re.IGNORECASE,
)

_KINDS = (
    r"miles?|mi|yards?|yds?|feet|foot|ft|inch(?:es)?|in|km|kilometers?|m|meters?|cm|centimeters?|mm|millimeters?|'",
    r"years?|yrs?|months?|weeks?|days?|hours?|hrs?|h|minutes?|mins?|min|m|seconds?|secs?|s",
    r"tons?|pounds?|lbs?|ounces?|oz|kg|kilograms?|g|grams?|mg|stone",
    r"gallons?|gal|quarts?|pints?|cups?|l|liters?|ml|milliliters?|tablespoons?|teaspoons?",
    r"dollars?|cents?|euros?|pounds?|pence|quarters?|dimes?|nickels?|pennies",
)
_RATIO = re.compile(
    r"\s*(?:(?:[a-z%]+\s+){0,2}(?:per|out\s+of|(?:in|for|to)\s+every|every)|in)\s+(?:the\s+)?[$]?", re.IGNORECASE
)


def makes_another(text: str, start: int, end: int) -> bool:
    """Whether words next to the number text[start:end] divide, multiply, continue or change it."""
    if _NUMBER_BEFORE.search(text[max(0, start - 60) : start]) or _MULTIPLIED.match(text, end):
        return True
    if _GROUP.match(text, end) and text[start:end] != "1":
        return True
    return text[end - 1 : end].isalpha() and _GOES_ON.match(text, end) is not None  # 9 hundred five


def is_denied(text: str, start: int, end: int) -> bool:
    """Whether the text says that the number text[start:end] is not the answer."""
    before = text[max(0, start - 60) : start]
    return _DENIED_BEFORE.search(before) is not None or _DENIED_BEHIND.match(text, end) is not None


def is_second_part(between: str, after: str) -> bool:
    """Whether two numbers are one quantity, as in 5 ft 3 in or 18 per 100, by the texts between and after them."""
    if _RATIO.fullmatch(between):
        return True
    for units in _KINDS:
        first = re.fullmatch(rf"\s*-?({units})\.?,?\s*(?:and\s+)?", between, re.IGNORECASE)
        second = re.match(rf"\s*-?({units}|\")(?!\w)", after, re.IGNORECASE)
        if first and second and first[1].lower() != second[1].lower():
            return True
    return False
