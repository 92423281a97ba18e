r"""Templates of prompts and completions, and the form of a generated completion.

By default the two forms open differently: a short completion is ` #### 72`, a long one ` Natalia sold ...\n#### 72`.
So the first token chooses the form. There the mark has the probability 1 - p. The likeliest opening of the long form
has p q, if a share q of the long solutions to such a prompt opens with it. So greedy decoding is long above
p = 1/(1+q), which is 1/2 if the opening is certain (q = 1) and more otherwise. `marker: long` puts the same opening
before all long completions, so q = 1 and the threshold is 1/2 (docs/theory.md, "A marker"). With K markers of
different first words, each before one K-th of the long completions, chosen by a hash that no model foresees, q = 1/K.
`marker: both` puts the marker before both forms; it carries no information then, and the form is chosen as by default,
a few tokens later.

Plain texts fit tokenizers that join a blank to the following word: prompts end without a blank and completions begin
with one. Chat messages have no blank at either end, as TRL expects.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Len
from pydantic import Field, field_validator, model_validator

from chainlift.seeding import derive
from chainlift.settings import Settings
from chainlift.text.problem import ANSWER_MARK, Problem

Message = dict[str, str]
"""A chat message, `{"role": ..., "content": ...}`."""
Text = str | list[Message]
"""A text, or the messages of a chat."""
PLACEHOLDER = "{question}"


class TemplateSettings(Settings):
    """Format of prompts and completions."""

    template: Literal["plain", "chat"] = "plain"
    """Plain texts, or the messages of a chat, for models whose tokenizer has a chat template."""
    marker: Literal["none", "long", "both"] = "none"
    """Forms that begin with the marker's text."""
    marker_text: str | Annotated[list[str], Len(min_length=2)] = " Let us see."
    """The marker, which begins with a blank or a new line; or several for the long form, whose first words differ."""
    answer_mark: str = Field(default=ANSWER_MARK, min_length=1)
    """The text before the final answer."""
    plain_prompt: str = "Question: {question}\nAnswer:"
    """The plain prompt; it contains {question} and does not end in a blank."""
    chat_prompt: str = PLACEHOLDER
    """The user's message; it contains {question}."""
    system: str | None = None
    """The system message; null: none."""

    @field_validator("plain_prompt", "chat_prompt")
    @classmethod
    def _holds_the_question(cls, text: str) -> str:
        if text.count(PLACEHOLDER) != 1:
            raise ValueError(f"must hold {PLACEHOLDER} once")
        if text != text.rstrip():
            raise ValueError("must not end in a blank: completions begin with one")
        return text

    @model_validator(mode="after")
    def _marks_can_be_told_apart(self) -> TemplateSettings:
        if self.answer_mark != self.answer_mark.strip() or "\n" in self.answer_mark:
            raise ValueError(f"answer_mark {self.answer_mark!r} must be on one line, without blanks around it")
        for text in self.markers:
            if not text[:1].isspace() or not text.strip():
                raise ValueError(f"marker_text {text!r} must be a blank and some text behind it")
            if self.answer_mark in text:
                raise ValueError(f"marker_text {text!r} must not hold the answer's mark {self.answer_mark!r}")
        if len({text.split()[0] for text in self.markers}) < len(self.markers):
            raise ValueError("the first words of the texts in marker_text must differ")
        if len(self.markers) > 1 and self.marker != "long":
            raise ValueError("several texts in marker_text need marker=long")
        return self

    @property
    def markers(self) -> list[str]:
        """The markers, mostly one."""
        return [self.marker_text] if isinstance(self.marker_text, str) else self.marker_text

    @property
    def opening_mass(self) -> float | None:
        """The mass q of the likeliest opening of long forms, 1 / number of markers; None without a marker of their own.

        Greedy decoding is long above p = 1 / (1 + q).
        """
        return 1 / len(self.markers) if self.marker == "long" else None


DEFAULT = TemplateSettings()


def prompt(problem: Problem, settings: TemplateSettings = DEFAULT) -> Text:
    """The prompt of a problem: a text, or a list of messages."""
    if settings.template == "plain":
        return settings.plain_prompt.replace(PLACEHOLDER, problem.question)
    user = {"role": "user", "content": settings.chat_prompt.replace(PLACEHOLDER, problem.question)}
    return [user] if settings.system is None else [{"role": "system", "content": settings.system}, user]


def completion(problem: Problem, settings: TemplateSettings = DEFAULT, *, long: bool) -> Text:
    """The long or the short completion of a problem, without an end-of-sequence token: a text, or a list of messages.

    ValueError if the answer contains the answer mark.
    """
    if settings.answer_mark in problem.answer:
        raise ValueError(f"the answer {problem.answer!r} holds the mark {settings.answer_mark!r}; change answer_mark")
    opening = _marker(problem, settings) if settings.marker == "both" or (long and settings.marker == "long") else ""
    solution = f" {problem.solution.strip()}\n" if long else " "
    text = f"{opening}{solution}{settings.answer_mark} {problem.answer.strip()}"
    return text if settings.template == "plain" else [{"role": "assistant", "content": text.strip()}]


def is_long(completion: Text, settings: TemplateSettings = DEFAULT) -> bool:
    """Whether a completion is longer than the short form: text stands before its first answer mark.

    The marker of both forms does not count as text. A completion without the answer mark is long, and unfinished, if it
    has more than one word.
    """
    before, mark, _ = content(completion).partition(settings.answer_mark)
    before = before.strip()
    if settings.marker == "both":
        before = before.removeprefix(settings.markers[0].strip())
    return len(before.split()) > (0 if mark else 1)


def long_prefix(settings: TemplateSettings) -> str:
    """A text with which long completions begin and no short one does: the (first) marker; empty without one."""
    return settings.markers[0] if settings.marker == "long" and settings.template == "plain" else ""


def _marker(problem: Problem, settings: TemplateSettings) -> str:
    """The marker of a problem's completion; of several, one that a hash of the question chooses."""
    markers = settings.markers
    return markers[derive(0, f"llm/marker/{problem.question}") % len(markers)]


def content(text: Text) -> str:
    """The text itself, or the content of the last message."""
    return text if isinstance(text, str) else text[-1]["content"]
