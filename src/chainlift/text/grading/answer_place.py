r"""Location of the answer in a response: after the first answer mark, else in the last box, else in its prose.

A response is read as far as generation should have gone: to the end of the first answer's line, and not into the next
question that a model invents if it does not stop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from chainlift.text.grading.boxed import find_boxed
from chainlift.text.grading.grade import Outcome

_SPECIAL = re.compile(r"<\|[^|<>\n]{1,40}\|>|</s>|<eos>|<end_of_turn>")
_NEXT_QUESTION = re.compile(
    r"(?:^|\n)[ \t]*(?:[*#>]+[ \t]*)?(?:(?:next|new)[ \t]+)?(?:question|problem|exercise|q|user|human)\b"
    r"[ \t]*(?:\d{1,3})?[ \t]*\**[ \t]*:",
    re.IGNORECASE,
)
_ANSWERED = re.compile(r"[\d$]|\\[a-zA-Z(\[]")
_QUOTE = re.compile(r"\s{0,3}[\"'`\u201d\u2019]")
_SIGNIFICANT = re.compile(r"[^\W_]|\\")


def until_next_question(text: str) -> str:
    """The response up to a token that ends texts, or up to a line that begins another question after an answer."""
    special = _SPECIAL.search(text)
    text = text[: special.start()] if special else text
    answered = _ANSWERED.search(text)
    question = _NEXT_QUESTION.search(text, answered.end()) if answered else None
    return text[: question.start()] if question else text


def marked_or_boxed(text: str, answer_mark: str) -> tuple[str | None, Outcome]:
    """(answer, its place): the line after the first mark that has an answer, otherwise the content of the last box.

    The answer is None without mark and box, and empty if nothing follows a mark.
    """
    text = until_next_question(text)
    for answer in _after_marks(text, answer_mark):
        if answer:
            return find_boxed(answer) or answer, "mark"
    return ("", "mark") if answer_mark in text else (find_boxed(text), "boxed")


def _after_marks(text: str, answer_mark: str) -> Iterator[str]:
    """The text after each mark: the rest of its line, or the next line that is not empty."""
    parts = text.split(answer_mark)[1:]
    for number, part in enumerate(parts, start=1):
        if number < len(parts) and _QUOTE.match(part):
            continue  # a mention of the mark, as in: End with "####"
        lines = (line.strip() for line in part.split("\n"))
        yield next((line for line in lines if _SIGNIFICANT.search(line)), "")
