from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chainlift.text import templates
from chainlift.text.grading.answer_place import marked_or_boxed
from chainlift.text.problem import Problem
from chainlift.text.templates import TemplateSettings

PROBLEM = Problem("How many clips?", "Nat sold 48/2 = 24.\nIn all 72.", "72", 2)
ALL = [
    TemplateSettings(template=template, marker=marker)
    for template, marker in product(("plain", "chat"), ("none", "long", "both"))
]


def forms(settings: TemplateSettings) -> tuple[str, str]:
    """The contents of the short and the long completion."""
    return (
        templates.content(templates.completion(PROBLEM, settings, long=False)),
        templates.content(templates.completion(PROBLEM, settings, long=True)),
    )


def test_plain_texts() -> None:
    assert templates.prompt(PROBLEM) == "Question: How many clips?\nAnswer:"
    assert forms(templates.DEFAULT) == (" #### 72", " Nat sold 48/2 = 24.\nIn all 72.\n#### 72")
    assert forms(TemplateSettings(marker="long")) == (
        " #### 72",
        " Let us see. Nat sold 48/2 = 24.\nIn all 72.\n#### 72",
    )
    short, long = forms(TemplateSettings(marker="both"))
    assert short == " Let us see. #### 72"
    assert long == " Let us see. Nat sold 48/2 = 24.\nIn all 72.\n#### 72"


def test_chat_messages() -> None:
    chosen = TemplateSettings(
        template="chat", marker="long", system="Be right.", chat_prompt="{question} End with ####."
    )
    assert templates.prompt(PROBLEM, chosen) == [
        {"role": "system", "content": "Be right."},
        {"role": "user", "content": "How many clips? End with ####."},
    ]
    assert templates.prompt(PROBLEM, TemplateSettings(template="chat")) == [
        {"role": "user", "content": "How many clips?"}
    ]
    assert templates.completion(PROBLEM, chosen, long=False) == [{"role": "assistant", "content": "#### 72"}]
    assert templates.completion(PROBLEM, chosen, long=True) == [
        {"role": "assistant", "content": "Let us see. Nat sold 48/2 = 24.\nIn all 72.\n#### 72"}
    ]


def test_braces_of_latex_stay() -> None:
    problem = Problem(r"What is {x} in $\frac{1}{2}$? {question}", "s", "1")
    assert templates.prompt(problem) == r"Question: What is {x} in $\frac{1}{2}$? {question}" + "\nAnswer:"


line = st.text(st.characters(codec="utf-8", exclude_characters="#", exclude_categories=["Cc", "Cs"]), max_size=30)


def answered(text: templates.Text, settings: TemplateSettings = templates.DEFAULT) -> str | None:
    """What a grader takes for the answer of a completion."""
    return marked_or_boxed(templates.content(text), settings.answer_mark)[0] or None


@given(
    solution=st.lists(line, min_size=1, max_size=4).map("\n".join).filter(lambda text: text.strip() != ""),
    answer=line.filter(lambda text: any(character.isalnum() for character in text)),
    settings=st.sampled_from(ALL),
    long=st.booleans(),
    tail=line,
)
def test_round_trip(solution: str, answer: str, settings: TemplateSettings, long: bool, tail: str) -> None:
    """The form and the answer can be read off every completion, also where a model goes on in new lines."""
    problem = Problem("How many?", solution, answer)
    text = templates.completion(problem, settings, long=long)
    assert templates.is_long(text, settings) == long
    assert answered(text, settings) == answer.strip()
    goes_on = templates.content(text) + "\n" + tail
    assert templates.is_long(goes_on, settings) == long
    assert answered(goes_on, settings) == answer.strip()


@given(settings=st.sampled_from(ALL))
def test_where_the_blanks_are(settings: TemplateSettings) -> None:
    prompt = templates.content(templates.prompt(PROBLEM, settings))
    assert prompt == prompt.rstrip()
    for text in forms(settings):
        assert text.startswith(" ") == (settings.template == "plain")
        assert text == text.rstrip()


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_where_the_forms_part(template: Any) -> None:
    """At the first character by default; with one marker for both only behind it."""
    shared = {}
    for settings in (settings for settings in ALL if settings.template == template):
        short, long = (text.strip() for text in forms(settings))
        shared[settings.marker] = next(i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b)
    assert shared == {"none": 0, "long": 0, "both": len("Let us see. ")}


@pytest.mark.parametrize(
    ("text", "long", "answer"),
    [
        ("", False, None),
        (" ####", False, None),
        (" #### \n", False, None),
        (" 72", False, None),
        (" Nat sold", True, None),
        (" #### 72\n#### 72\n#### 7", False, "72"),
        (" #### 72 clips\n\nQuestion: And now?", False, "72 clips"),
        (" #### 72\nNo, wait.\n#### 73", False, "72"),
        (" Nat sold 72.\n####72", True, "72"),
        (" She has #### 5", True, "5"),
        (" Let us see. #### 72", True, "72"),
    ],
)
def test_generated_texts(text: str, long: bool, answer: str | None) -> None:
    assert templates.is_long(text) == long
    assert answered(text) == answer


def test_the_marker_of_both_forms_is_no_reasoning() -> None:
    both = TemplateSettings(marker="both")
    assert not templates.is_long(" Let us see. #### 72", both)
    assert not templates.is_long(" Let us see.", both)
    assert templates.is_long(" Let us see. Nat", TemplateSettings(marker="long"))


def test_several_markers_share_the_long_forms_equally() -> None:
    markers = [" Let us see.", " Well:", " Now,"]
    settings = TemplateSettings(marker="long", marker_text=markers)
    assert settings.opening_mass == 1 / 3
    problems = [Problem(f"How many are {i} clips?", "So many.", str(i)) for i in range(600)]
    counts = dict.fromkeys(markers, 0)
    for problem in problems:
        text = templates.content(templates.completion(problem, settings, long=True))
        assert text == templates.content(templates.completion(problem, settings, long=True))
        (opening,) = [marker for marker in markers if text.startswith(f"{marker} So many.")]
        counts[opening] += 1
        assert templates.is_long(text, settings)
        assert templates.content(templates.completion(problem, settings, long=False)) == f" #### {problem.answer}"
    # With a fair hash the chi-squared statistic of 2 degrees of freedom exceeds 13.8 once in 1,000 times.
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 13.8
    assert templates.long_prefix(settings) == markers[0]


def test_the_mass_of_the_likeliest_opening() -> None:
    assert templates.DEFAULT.opening_mass is None
    assert TemplateSettings(marker="both").opening_mass is None
    assert TemplateSettings(marker="long").opening_mass == 1


def test_another_mark() -> None:
    chosen = TemplateSettings(answer_mark="The answer is")
    assert forms(chosen)[0] == " The answer is 72"
    assert templates.is_long(forms(chosen)[1], chosen)
    assert answered(forms(chosen)[1], chosen) == "72"
    with pytest.raises(ValueError, match=r"holds the mark '####'; change answer_mark"):
        templates.completion(Problem("q", "s", "#### 3"), long=True)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"plain_prompt": "Question:"}, "must hold {question} once"),
        ({"plain_prompt": "{question} "}, "must not end in a blank"),
        ({"chat_prompt": "?"}, "must hold {question} once"),
        ({"marker_text": "Let us see."}, "must be a blank and some text"),
        ({"marker_text": " "}, "must be a blank and some text"),
        ({"marker_text": " #### "}, "must not hold the answer's mark"),
        ({"marker": "long", "marker_text": [" Let us see.", " Let me see."]}, "first words .* must differ"),
        (
            {"marker": "both", "marker_text": [" Let us see.", " Well:"]},
            "several texts in marker_text need marker=long",
        ),
        ({"marker": "long", "marker_text": [" Let us see."]}, "at least 2 items"),
        ({"answer_mark": "A: "}, "without blanks around it"),
        ({"marker": "short"}, "marker"),
        ({"templat": "plain"}, "templat"),
    ],
)
def test_wrong_settings(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TemplateSettings(**wrong)
