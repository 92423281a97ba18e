import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chainlift.text.sources import math_data
from chainlift.text.sources.math_data import Math, MathSettings


def row(number: int, level: str = "Level 1", subject: str = "Algebra") -> dict[str, str]:
    solution = f"Since $x - 1 = {number - 1}$, we have $x = \\boxed{{{number}}}$."
    return {"problem": f"Solve $x - 1 = {number - 1}$.", "level": level, "type": subject, "solution": solution}


ROWS = [
    row(1),
    row(2, "Level 3"),
    row(3, "Level 5", "Counting & Probability"),
    row(4, "Level ?", "Geometry"),
]


@pytest.fixture
def folder(write_lines: Callable[..., Path]) -> str:
    write_lines("test.jsonl", ROWS)
    return str(write_lines("train.jsonl", ROWS))


def answers(**settings: Any) -> list[str]:
    return [problem.answer for problem in Math(MathSettings(**settings)).load()[0]]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so \boxed{72}.", "72"),
        (r"$\boxed{1}$, no: $\boxed{\frac{1}{2}}$", r"\frac{1}{2}"),
        (r"$\fbox{3}$", "3"),
        (r"$\boxed 3$ is it", "3"),
        (r"$x = \boxed 12$.", "12"),
        (r"\boxed{\left\{ 1, 2 \right\}}", r"\left\{ 1, 2 \right\}"),
        (r"\boxed{\left\{ x \right.} and so on", r"\left\{ x \right."),
        ("\\boxed{1,\n  2}", "1, 2"),
        (r"\boxed {5}", "5"),
        (r"\boxed{a\\{b}}", r"a\\{b}"),
        (r"\boxed{7} and \boxedness", "7"),
        (r"\boxed4", "4"),
    ],
)
def test_boxes(text: str, content: str) -> None:
    assert math_data.boxed(text) == content


@pytest.mark.parametrize(
    ("text", "told"),
    [("no box", "no .boxed"), (r"\boxed{1", "never closed"), (r"\boxed{ }", "empty"), (r"\boxed", "empty")],
)
def test_what_is_no_box(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        math_data.boxed(text)


balanced = st.recursive(
    st.text(alphabet="x1+ ,.", min_size=1, max_size=4) | st.sampled_from([r"\{", r"\}", r"\frac", r"\\"]),
    lambda inner: st.lists(inner, max_size=3).map("".join) | inner.map(lambda text: "{" + text + "}"),
)


@given(content=balanced, before=balanced, after=st.text(alphabet="$. }", max_size=4))
def test_any_balanced_box_is_read_whole(content: str, before: str, after: str) -> None:
    text = f"{before}\\boxed{{{content}}}{after}"
    if content.strip():
        assert math_data.boxed(text) == " ".join(content.split())


def test_lines(folder: str) -> None:
    train, test = Math(MathSettings(path=folder)).load()
    assert [p.answer for p in train] == ["1", "2", "3", "4"]
    assert train[0].question == "Solve $x - 1 = 0$."
    assert "boxed{1}" in train[0].solution
    assert len(test) == 4


def test_the_original_layout(tmp_path: Path) -> None:
    for number, content in zip((10, 2, 1, 7), ROWS, strict=True):
        for split in ("train", "test"):
            file = tmp_path / split / math_data.subject(content["type"]) / f"{number}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(content), encoding="utf-8")
    assert answers(path=str(tmp_path)) == ["2", "1", "3", "4"]  # algebra/2, algebra/10, counting..., geometry
    (tmp_path / "train" / "algebra" / "2.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"algebra/2\.json: the key 'problem' is missing; expected"):
        Math(MathSettings(path=str(tmp_path))).load()


def test_filters(folder: str) -> None:
    assert answers(path=folder, levels=[1, 5]) == ["1", "3"]
    assert answers(path=folder, subjects=["Counting & Probability", "geometry"]) == ["3", "4"]
    assert answers(path=folder, subjects=["counting_and_probability"]) == ["3"]
    assert answers(path=folder, levels=[3], subjects=["algebra"]) == ["2"]


def test_filters_that_nothing_passes(folder: str) -> None:
    with pytest.raises(ValueError, match=r"task\.subjects: no train problem of 'algebar', did you mean 'algebra'\?"):
        Math(MathSettings(path=folder, subjects=["algebar", "geometry"])).load()
    with pytest.raises(ValueError, match=r"task\.levels: no train problem has a level of \[2\]"):
        Math(MathSettings(path=folder, levels=[2])).load()
    wrongs: list[dict[str, Any]] = [{"levels": [6]}, {"levels": []}, {"subjects": []}, {"level": [1]}]
    for wrong in wrongs:
        with pytest.raises(ValidationError):
            MathSettings(**wrong)


def test_a_problem_without_a_box_is_named(write_lines: Callable[..., Path]) -> None:
    write_lines("test.jsonl", ROWS)
    folder = write_lines("train.jsonl", [ROWS[0], ROWS[1] | {"solution": "It is 3."}])
    with pytest.raises(ValueError, match=r"train\.jsonl, line 2: no .boxed\{\.\.\.\} in the solution$"):
        Math(MathSettings(path=str(folder))).load()


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no train problems; expected train/<subject>"):
        Math(MathSettings(path=str(tmp_path))).load()


def test_the_hub_is_asked_for_what_is_wanted_only(fake_hub: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"^math: no data; set task\.path to .*, or task\.download=true"):
        Math(MathSettings()).load()
    name = "EleutherAI/hendrycks_math"
    fake_hub[name, "algebra", "train"] = fake_hub[name, "algebra", "test"] = ROWS[:2]
    assert answers(download=True, subjects=["Algebra"]) == ["1", "2"]
    with pytest.raises(ValueError, match=r"cannot download .* \(counting_and_probability, train\)"):
        Math(MathSettings(download=True)).load()
    with pytest.raises(ValueError, match=r"'algebar' is not known, did you mean 'algebra'\?"):
        Math(MathSettings(download=True, subjects=["algebar"])).load()
