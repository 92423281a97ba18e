r"""The boxes of a text: `\boxed{...}` and `\fbox{...}`, braces matched, and `\boxed 3` without braces.

The same rules read right answers and responses.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"(?P<box>\\(?:boxed|fbox)(?![a-zA-Z])\s*+)(?P<opening>\{)?|\\.|(?P<left>\{)|(?P<right>\})", re.DOTALL
)
_UNBRACED = re.compile(r"[^\s$]{1,200}")


Span = tuple[int, int]


def boxed(text: str) -> str:
    r"""The content of the last box, on one line; escaped braces do not count.

    ValueError if there is no box, or if the last one is empty or never closed.
    """
    boxes = _boxes(text)
    if not boxes:
        raise ValueError(r"no \boxed{...} in the solution")
    if boxes[-1] is None:
        raise ValueError(r"the last \boxed{ is never closed")
    content = _content(text, boxes[-1])
    if not content:
        raise ValueError(r"the last \boxed is empty")
    return content


def find_boxed(text: str) -> str | None:
    """The content of the last box that is closed and not empty, on one line; None without such a box."""
    contents = (_content(text, box) for box in reversed(_boxes(text)) if box is not None)
    return next((content for content in contents if content), None)


def _content(text: str, box: Span) -> str:
    """The content of a box, on one line."""
    return " ".join(text[box[0] : box[1]].split())


def _boxes(text: str) -> list[Span | None]:
    """Spans of the contents of all boxes, in the order in which they begin; None for a box that is never closed.

    It takes one pass, because a model can open ten thousand boxes.
    """
    boxes: list[Span | None] = []
    open_braces: list[int | None] = []  # the number of the box that a brace opens
    starts: list[int] = []
    for token in _TOKEN.finditer(text):
        if token["box"] is not None:
            starts.append(token.end())
            if token["opening"] is not None:
                open_braces.append(len(boxes))
                boxes.append(None)
            else:
                word = _UNBRACED.match(text, token.end())
                boxes.append((token.end(), token.end() + len(word[0].rstrip(".,;")) if word else token.end()))
        elif token["left"] is not None:
            open_braces.append(None)
        elif token["right"] is not None and open_braces:
            box = open_braces.pop()
            if box is not None:
                boxes[box] = (starts[box], token.start())
    return boxes
