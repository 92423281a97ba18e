"""Context of a number: units and words leave its value as it is, operators and other signs do not.

`5 km`, `$18/hour` and `18 apples` are numbers with a unit; `5²`, `18!`, `2π`, `3i`, `> 18` and `18 or more` are not
these numbers.
"""

from __future__ import annotations

import re
import unicodedata

from chainlift.text.grading.number_words import is_denied, makes_another

ATTACHED_UNITS = (
    "km|cm|mm|nm|mi|ft|in|yd|yds|kg|mg|g|lbs?|oz|ml|mL|cl|dl|gal|hrs?|h|mins?|secs?|s|ms|m|l|L|am|pm|AM|PM|kph|mph|kWh|"
    "kW|W|V|Hz|kHz|MHz|GHz|Kg|Km|KB|kB|MB|GB|TB|px|pts?|pcs|kcal|cal|ppm|USD|EUR|GBP|JPY|INR|dollars?|cents?|euros?|pounds?|"
    "degrees?|percent|pct|C|F|c|¢|p"
)
_SINGLE = "aAIgmlLshdCFWVNJ"
"""Single letters that may follow a number and a space: an article, I, units. Other letters are variables."""
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_CJK_NUMERALS = "十百千万亿萬億兆"
_FUNCTIONS = r"log|ln|lg|exp|sqrt|cbrt|sin|cos|tan|cot|sec|csc|abs|det|lim|floor|ceil"

_BEFORE = re.compile(
    rf"(?:[^\W_{_CJK}]"  # a letter or a digit
    r"|[.,_]|\d'"
    r"|\d\s*:\s*"
    r"|[+\u00d7·÷/^√∛∜<>≤≥≠±∓|⌊⌈!≡∞\\]\s*[({\[]*\s*"
    r"|[\w)\]}%]\s*[*-]+\s*[({\[]*\s*"  # an operator, as there is something before it
    r"|-\s*[({\[]+\s*|-"
    r"|(?<![^\W\d_])[A-Za-z]\s*\(\s*"  # f(18)
    r"|(?<![\w'])(?![aAI])[A-Za-z]\s+"  # x 18
    rf"|(?<![^\W\d_])(?:{_FUNCTIONS}|root|roots|half|thirds?|quarters?|twice|double|triple|square|cube|power|exponent"
    r"|minus|negative|plus|times|multiplied\s+by|divided\s+by|mod|modulo|choose|factorial|base|not|n't|than|"
    r"at\s+(?:least|most)|under|over|above|below|up\s+to|except|\d[^\s,]*\s+or)(?:\s+of)?\s*[({\[]*\s*)$",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\d|[,.]\d|'\d|\.{2,}\s*[,\d]|\.{3}\s*,"
    rf"|(?!(?:{ATTACHED_UNITS})(?![^\W\d_]))[^\W\d_{_CJK}]"
    rf"|\s*[{_CJK_NUMERALS}]"
    r"|!|\((?![A-Za-z]{3})"
    r"|\s*(?:\^|[√∛∜π∞±∓<>≤≥≠≡÷]|\+)"
    r"|_+[\w{(]|[({\[]?\s*\\"
    r"|\s*(?:[\u00d7·]|\*+)\s*[-$]?[\w(\\.{√|]"
    r"|\s*-\s*[$]?[\d.(√|{\\]|\s*-\s*[A-Za-z](?![A-Za-z])|\s*~\s*\d"
    r"|\s*/(?!\s*(?:[A-Za-z]{2,}|[hdsmgLlk](?![A-Za-z])))"
    r"|\s*:\s*\d|\s*\(\s*[-+$\d.][^A-Za-z=]*\)"
    rf"|\s+(?![{_SINGLE}])[A-Za-z](?![\w']|\.[A-Za-z])"
    r"|\s+(?:mil|mill|mio|mrd|bil|gross|score)(?![^\W\d_])"  # they multiply, or are units
    r"|\s*-?\s*(?i:squared|cubed|factorial|pi|choose|mod|modulo|plus|minus|over\s+\d|divided|multiplied|times\s+\S?\d"
    r"|to\s+the\s+(?:power|\w+(?:st|nd|rd|th)\b)|(?:or|and)\s+(?:more|less|fewer|greater|higher|lower|above|below|over"
    r"|under|up)|and\s+(?:(?:an?|one|two|three)\s+)?(?:half|halves|thirds?|quarters?)|at\s+(?:least|most))(?![^\W\d_])"
)
_OTHER_THINGS = re.compile(
    r"(?<![^\W\d_])(?:sqrt|pi|squared|cubed|factorials?|infinity|infinite|undefined|binary|octal|hexadecimal|base"
    r"|not|nor|than|at\s+(?:least|most))(?![^\W\d_])|n't(?!\w)",
    re.IGNORECASE,
)


def is_other_thing(text: str, start: int, end: int) -> bool:
    """Whether the text directly around the digits text[start:end] makes them part of something else."""
    before = text[max(0, start - 40) : start]
    if makes_another(text, start, end) or is_denied(text, start, end):
        return True
    is_periodic = "." in text[start:end] and text.startswith("..", end)  # 0.333...
    return is_periodic or _BEFORE.search(before) is not None or _AFTER.match(text, end) is not None


def is_harmless(rest: str) -> bool:
    """Whether a text without digits has only words and punctuation: no function, operator or unknown command."""
    if _OTHER_THINGS.search(rest):
        return False
    return all(unicodedata.category(sign) != "Sm" and sign not in "\\^" for sign in rest if sign != "~")
