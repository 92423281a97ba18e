"""The summary of a task of text: lengths and openings of both forms."""

import sys
from typing import Any

import pytest

from chainlift.text import forms, look
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask, TextTaskSettings
from chainlift.text.templates import TemplateSettings

SOLUTIONS = ["He has 3 + 4 = 7.", "He has 5 + 2 = 7.", "She has 7.", "It is 9 more than before, which is 9."]


class Four(TextTask):
    """Four training problems."""

    Settings = TextTaskSettings

    def load(self) -> Any:
        train = [Problem(f"Question {i}?", text, "7" if i < 3 else "9") for i, text in enumerate(SOLUTIONS)]
        return train, train[:1]


def four(**template: Any) -> TextTask:
    return Four(TextTaskSettings(template=TemplateSettings(**template)))


def test_lengths_and_openings_in_words() -> None:
    measured = forms.measure(four())["words"]
    assert measured["problems"] == 4
    assert measured["short"] == {"mean": 2, "median": 2, "largest": 2}
    assert measured["long"] == {"mean": (9 + 9 + 5 + 11) / 4, "median": 9, "largest": 11}
    assert measured["opening"] == {"text": "He", "q": 0.5, "critical_share": 2 / 3}


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_a_marker_of_long_forms_is_certain(template: str) -> None:
    measured = forms.measure(four(marker="long", template=template))
    for unit in ("words", "tokens"):
        assert (measured[unit]["opening"]["q"], measured[unit]["opening"]["critical_share"]) == (1, 0.5)


def test_a_marker_of_both_forms_does_not_choose_the_form() -> None:
    both, none = (forms.measure(four(marker=marker))["words"]["opening"] for marker in ("both", "none"))
    assert both == none | {"text": "Let us see. He"}


def test_openings_end_where_the_forms_differ() -> None:
    assert forms.opening([1, 2, 3], [4, 2, 3]) == (4,)
    assert forms.opening([1, 2, 3], [1, 2, 4, 5]) == (1, 2, 4)
    assert forms.opening([1, 2], [1, 2, 4, 5]) == (1, 2, 4)


def test_tokens_are_those_of_a_given_tokenizer() -> None:
    class Characters:
        name_or_path = "characters"

        def encode(self, text: str, *, add_special_tokens: bool) -> list[str]:
            assert not add_special_tokens
            return list(text)

        def decode(self, tokens: list[str]) -> str:
            return "".join(tokens)

    measured = forms.measure(four(), Characters())
    assert measured["tokenizer"] == "characters"
    assert measured["tokens"]["short"]["largest"] == len(" #### 7")
    assert measured["tokens"]["opening"] == {"text": " H", "q": 0.5, "critical_share": 2 / 3}


def test_without_the_package_tokenizers_words_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    measured = forms.measure(four())
    assert (measured["tokens"], measured["tokenizer"]) == (None, None)
    assert not any("tokens" in line for line in look.lines(look.look(four())))


def test_the_summary_has_examples_and_the_commonest_answer() -> None:
    summary = look.look(four())
    assert summary["commonest_answer"] == {"answer": "7", "share": 0.75}
    assert summary["overlap"]["exact"] == 1
    assert [example["short"] for example in summary["examples"]] == [" #### 7"] * 3
    assert summary["examples"][2]["long"] == " She has 7.\n#### 7"
    text = "\n".join(look.lines(summary))
    assert "is 'He', with a share q = 0.500" in text
    assert "above p_cot = 1/(1 + q) = 0.667" in text
