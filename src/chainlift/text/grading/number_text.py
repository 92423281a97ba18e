r"""Normalization of texts with numbers: without LaTeX, with ASCII digits, minus signs and spaces.

Powers stay powers (`5²` becomes `5^{2}`). Anything without a plain spelling keeps its sign or its backslash, so that it
is not taken for something else.
"""

from __future__ import annotations

import re
import unicodedata

_WIDE = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_SPACES = dict.fromkeys([9, 10, 13, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
_NOTHING = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
_MINUS = dict.fromkeys([0x2010, 0x2011, 0x2012, 0x2013, 0x2212, 0xFE63], "-")
_DASH = dict.fromkeys([0x2014, 0x2015], "; ")
_QUOTES = dict.fromkeys([0x2018, 0x2019, 0x2032], "'")
_LIKE = {
    0x2044: "/",
    0x2236: ":",
    0x2217: "*",
    0x22C5: "·",
    0x2715: "\u00d7",
    0x2A7D: "≤",
    0x2A7E: "≥",
    0x21D2: "→",
    0x2026: "...",
}
_CHARACTERS = _WIDE | _SPACES | _NOTHING | _MINUS | _DASH | _QUOTES | _LIKE
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_COMMANDS = {
    "times": "\u00d7", "cdot": "·", "ast": "*", "div": "÷", "pm": "±", "mp": "∓", "pi": "π", "sqrt": "√", "infty": "∞",
    "le": "≤", "leq": "≤", "leqslant": "≤", "lt": "<", "ge": "≥", "geq": "≥", "geqslant": "≥", "gt": ">", "ne": "≠",
    "neq": "≠", "approx": "≈", "simeq": "≈", "equiv": "=", "to": "→", "rightarrow": "→", "Rightarrow": "→",
    "implies": "→", "euro": "€", "pounds": "£", "dots": "...", "ldots": "...", "cdots": "...", "degree": "°",
    "left": "", "right": "", "displaystyle": "", "quad": " ", "qquad": " ", "big": "", "Big": "", "bf": "", "rm": "",
}  # fmt: skip
"""LaTeX commands and the signs that replace them."""

_VULGAR = re.compile(r"(?P<whole>\d)?(?P<part>[¼-¾⅐-⅞])")
_DISPLAY = re.compile(r"\s*(?:\$\$([^$]+)\$\$|\$([^$]+)\$)\s*([.,;]?)\s*")
_EMPHASIS = re.compile(r"(?<![\w*)\]}])([*_]{1,3})(?=[^\s*_])([^*_\n]{0,300}[^\s*_])\1(?![\w*({])")
_WORDS = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_SHORT_FRACTION = re.compile(r"\\[dtc]?frac\s*(\d)\s*(\d)")
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{\s*(-?)\s*([\d.,]{1,80})\s*\}\s*\{\s*([\d.,]{1,80})\s*\}")
_THIN = re.compile(r"(?<=\d)\\[,!;: ](?=\d{3})")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_DEGREES = re.compile(r"\^\s*(?:\{\s*°\s*\}|°)")
_UNIT_POWER = re.compile(r"(?<=[A-Za-z])\s?\^\s*(?:\{\s*-?[1-4]\s*\}|-?[1-4])(?!\d)")
_NOTES = re.compile(r"<<[^<>]*>>")
"""Calculator notes of GSM8K; a model trained on them writes them."""
_ASCII_SIGNS = (("<=", "≤"), ("=<", "≤"), (">=", "≥"), ("!=", "≠"), ("=>", "→"), ("->", "→"))


def plain(text: str) -> str:
    """The normalized text, without spaces around it."""
    text = re.sub(r"\s", " ", text) if text.isascii() else _in_ascii(text)
    text = _NOTES.sub("", text)
    for signs, sign in _ASCII_SIGNS:
        text = text.replace(signs, sign)
    if "\\" in text or "$" in text or "{" in text:
        text = _without_latex(text)
    text = _UNIT_POWER.sub("", text)
    if "*" in text or "_" in text:
        text = _EMPHASIS.sub(r"\2", text)
    return re.sub(" +", " ", text).strip()


def _in_ascii(text: str) -> str:
    """The text with ASCII digits, minus signs, spaces and powers."""
    text = _VULGAR.sub(_vulgar, text).translate(_CHARACTERS)
    text = re.sub(r"[⁰¹²³⁴-⁹⁺⁻]+", lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", text)
    text = re.sub(r"[₀-₉]+", lambda match: f"_{{{match[0].translate(_SUBSCRIPTS)}}}", text)
    return re.sub(r"(?![0-9])\d", lambda match: str(unicodedata.decimal(match[0])), text)


def _without_latex(text: str) -> str:
    """The text without outer dollar signs, and with plain signs in place of LaTeX commands."""
    display = _DISPLAY.fullmatch(text)
    if display and not text.rstrip(" .,;").endswith("\\$"):
        text = (display[1] or display[2]) + display[3]
    for bracket in ("\\(", "\\)", "\\[", "\\]"):
        text = text.replace(bracket, " ")
    text = _WORDS.sub(r" \1", text).replace("{,}", ",")
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = re.sub(r"(?<=\d)\s*(?=\\[dtc]?frac)", " ", text)
    text = _FRACTION.sub(r"\1\2/\3 ", text)
    text = _THIN.sub("", text)
    text = re.sub(r"\\[,!;: ]", " ", text)
    text = re.sub(r"\\([$%#&_€£])", r"\1", text)
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?", "°", text)
    text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], match[0]), text)
    return _DEGREES.sub("°", text)


def _vulgar(match: re.Match[str]) -> str:
    """A fraction sign as digits: ½ as 1/2, and 1½ as the mixed number 1 1/2."""
    return (f"{match['whole']} " if match["whole"] else "") + unicodedata.normalize("NFKC", match["part"]) + " "
