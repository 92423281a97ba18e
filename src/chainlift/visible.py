"""Untrusted text made safe to print in a terminal and in a one-line error."""

from __future__ import annotations

import os
import re
import reprlib
from pathlib import Path
from typing import Any

LONGEST = 2000  # characters of a one-line error

_MARKS = r"\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
_HIDDEN = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_MARKS}]")
_HIDDEN_IN_LINES = re.compile(rf"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_MARKS}]")

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = 4
_SHORT.maxlevel = 2


def visible(text: str, *, lines: bool = False) -> str:
    """The text with control characters, escape sequences and direction marks escaped, as `\\x1b`.

    A terminal obeys such characters: they recolor, retitle, overwrite and hide. Halves of surrogate pairs, which cannot
    be encoded, are escaped too. lines: keep line ends.
    """
    return (_HIDDEN_IN_LINES if lines else _HIDDEN).sub(lambda match: ascii(match[0])[1:-1], text)


def name_of(path: Path) -> str:
    """A path's last part as text that can be encoded; bytes outside the locale's encoding are read as UTF-8."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


def one_line(text: str, *, longest: int = LONGEST) -> str:
    """The text in one visible line, without indents and empty lines, cut after `longest` characters."""
    line = visible(" ".join(filter(None, map(str.strip, text.splitlines()))))
    return line if len(line) <= longest else f"{line[:longest]} ..."


def shown(value: Any) -> str:
    """The `repr` of a value, visible, and shortened if it is long, deep or wide."""
    try:
        return visible(_SHORT.repr(value))
    except ValueError:  # an integer with more digits than Python prints
        return f"a number of {value.bit_length() if isinstance(value, int) else 'too many'} bits"
