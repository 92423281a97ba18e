import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from chainlift.stages import recipe
from chainlift.tasks import registry
from chainlift.text.overlap import overlap, words
from chainlift.text.sources.jsonl import Jsonl, JsonlSettings

Write = Callable[..., Path]
ROWS = [{"prompt": f"What is {n} + 1?", "solution": f"{n} + 1 = {n + 1}", "answer": str(n + 1)} for n in range(200)]


def load(**settings: Any) -> tuple[Any, Any]:
    return Jsonl(JsonlSettings(**settings)).load()


def fault(write_lines: Write, row: Any, **settings: Any) -> str:
    """The message about a file whose third line is `row`, after a blank line."""
    file = write_lines("mine.jsonl", [ROWS[0], "", row]) / "mine.jsonl"
    with pytest.raises(ValueError, match=r"mine\.jsonl, line 3: ") as raised:
        load(path=str(file), **settings)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_share_of_one_file_is_held_out_by_a_hash_of_the_prompt(write_lines: Write) -> None:
    """Of 200 prompts 20 in the mean; the bound is 5 standard errors."""
    file = write_lines("mine.jsonl", ROWS) / "mine.jsonl"
    train, test = load(path=str(file))
    assert abs(len(test) - 20) < 5 * (200 * 0.1 * 0.9) ** 0.5
    assert sorted([p.question for p in [*train, *test]]) == sorted(row["prompt"] for row in ROWS)
    assert not overlap(train, test).exact
    write_lines("mine.jsonl", ROWS[::-1])
    again, _ = load(path=str(file))
    assert {p.question for p in again} == {p.question for p in train}
    fewer, _ = load(path=str(file), held_out=0.5)
    assert {p.question for p in fewer} < {p.question for p in train}


def test_prompts_that_differ_in_case_and_punctuation_are_on_one_side(write_lines: Write) -> None:
    shouted = [row | {"prompt": row["prompt"].upper().replace("?", "!")} for row in ROWS]
    train, test = load(path=str(write_lines("mine.jsonl", ROWS + shouted) / "mine.jsonl"))
    assert not overlap(train, test).exact
    assert len({tuple(words(p.question)) for p in test}) == len(test) / 2


def test_a_folder_has_both_files(write_lines: Write) -> None:
    folder = write_lines("train.jsonl", ROWS[:5])
    with pytest.raises(ValueError, match=r"test\.jsonl is missing; expected lines"):
        load(path=str(folder))
    write_lines("test.jsonl", ROWS[5:7])
    train, test = load(path=str(folder))
    assert [p.answer for p in train] == ["1", "2", "3", "4", "5"]
    assert (test[0].question, test[0].solution, test[0].answer) == ("What is 5 + 1?", "5 + 1 = 6", "6")
    with pytest.raises(ValueError, match=r"task\.test_path: .* is a folder"):
        load(path=str(folder), test_path=str(folder / "test.jsonl"))
    limited, _ = load(path=str(folder), train_limit=2)
    assert len(limited) == 2


def test_a_second_file_has_the_test_problems(write_lines: Write) -> None:
    folder = write_lines("a.jsonl", ROWS[:5])
    write_lines("b.jsonl", ROWS[5:7])
    train, test = load(path=str(folder / "a.jsonl"), test_path=str(folder / "b.jsonl"))
    assert (len(train), len(test)) == (5, 2)


def test_keys_can_be_named(write_lines: Write) -> None:
    row = {"frage": "2 + 2?", "loesung": "2 + 2 = 4", "antwort": 4, "prompt": 7}
    folder = write_lines("a.jsonl", [row])
    keys = {"prompt_key": "frage", "solution_key": "loesung", "answer_key": "antwort"}
    train, _ = load(path=str(folder / "a.jsonl"), test_path=str(folder / "a.jsonl"), **keys)
    assert (train[0].question, train[0].solution, train[0].answer) == ("2 + 2?", "2 + 2 = 4", "4")


@pytest.mark.parametrize(("written", "answer"), [("72", "72"), ("-3", "-3"), ("0.5", "0.5"), ("1e22", "1e+22")])
def test_answers_may_be_numbers(written: str, answer: str, write_lines: Write) -> None:
    line = f'{{"prompt": "How many?", "solution": "That many.", "answer": {written}}}'
    file = str(write_lines("a.jsonl", [line]) / "a.jsonl")
    train, _ = load(path=file, test_path=file)
    assert train[0].answer == answer


def test_a_byte_order_mark_and_line_separators_in_texts_do_no_harm(tmp_path: Path) -> None:
    row = ROWS[0] | {"solution": "first\u2028second"}
    text = "\ufeff" + json.dumps(row, ensure_ascii=False) + "\r\n\r\n" + json.dumps(ROWS[1])
    (tmp_path / "a.jsonl").write_bytes(text.encode())
    file = str(tmp_path / "a.jsonl")
    train, _ = load(path=file, test_path=file)
    assert [p.solution for p in train] == ["first\u2028second", "1 + 1 = 2"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not valid JSON"),
        ('{"prompt": "a", "solution": "b", "answer": ' + "9" * 5000 + "}", "not valid JSON"),
        ([1], "not a JSON object"),
        ({"prompt": "How many?", "answer": "1"}, "the key 'solution' is missing"),
        ({"solution": "One.", "answer": "1"}, "the key 'prompt' is missing"),
        ({"prompt": "How many?", "solution": "One."}, "the key 'answer' is missing"),
        ({"prompt": "How many?", "solution": "One.", "answer": None}, "the key 'answer' is None, not a text"),
        ({"prompt": "How many?", "solution": "One.", "answer": True}, "the key 'answer' is True, not a text"),
        ({"prompt": "How many?", "solution": "One.", "answer": float("nan")}, "the key 'answer' is nan, not a text"),
        ({"prompt": ["How many?"], "solution": "One.", "answer": "1"}, "the key 'prompt' is ['How many?'], not a text"),
        ({"prompt": " ", "solution": "One.", "answer": "1"}, "the question is empty"),
        ({"prompt": "How many?", "solution": "", "answer": "1"}, "the solution is empty"),
        ({"prompt": "How many?", "solution": "One.", "answer": " "}, "the answer is empty"),
        ({"prompt": "How many?", "solution": "One.", "answer": "1\n2"}, "more than one line"),
        ({"prompt": "How many?", "solution": "One.", "answer": "x + 1"}, "is not a number; use task.grader=math"),
        ({"prompt": "How many?", "solution": "One.\n#### 1", "answer": "1"}, "the solution holds the mark '####'"),
        ({"prompt": "How many?", "solution": "One.", "answer": "#### 1"}, "the answer holds the mark '####'"),
        (ROWS[0] | {"answer": "2"}, "line 1 has the same prompt with the answer '1'"),
    ],
)
def test_wrong_lines_are_named(row: Any, message: str, write_lines: Write) -> None:
    assert message in fault(write_lines, row)


def test_another_answer_in_the_test_file_is_refused(write_lines: Write) -> None:
    folder = write_lines("train.jsonl", ROWS[:3])
    write_lines("test.jsonl", [ROWS[0] | {"answer": "9"}])
    with pytest.raises(ValueError, match=r"test\.jsonl, line 1: the answer is '9', but .*train\.jsonl, line 1 has"):
        load(path=str(folder))


def test_a_prompt_may_have_several_solutions_of_equal_answers(write_lines: Write) -> None:
    rows = [ROWS[0], ROWS[0] | {"solution": "1 + 0 = 1", "answer": "1.0"}]
    file = str(write_lines("a.jsonl", rows) / "a.jsonl")
    train, _ = load(path=file, test_path=file)
    assert [p.solution for p in train] == ["0 + 1 = 1", "1 + 0 = 1"]


def test_formulas_are_for_the_math_grader(write_lines: Write) -> None:
    row = ROWS[0] | {"answer": r"\frac{x}{2}"}
    file = str(write_lines("a.jsonl", [row]) / "a.jsonl")
    train, _ = load(path=file, test_path=file, grader="math")
    assert train[0].answer == r"\frac{x}{2}"


def test_files_without_problems_are_named(write_lines: Write, tmp_path: Path) -> None:
    write_lines("empty.jsonl", ["", " "])
    with pytest.raises(ValueError, match=r"empty\.jsonl is empty; expected lines"):
        load(path=str(tmp_path / "empty.jsonl"))
    with pytest.raises(ValueError, match=r"none\.jsonl is missing; expected lines"):
        load(path=str(tmp_path / "none.jsonl"))
    write_lines("few.jsonl", ROWS[:1])
    with pytest.raises(ValueError, match=r"few\.jsonl: held_out=0\.1 leaves no (test|training) problem of 1; change"):
        load(path=str(tmp_path / "few.jsonl"))


def test_the_path_must_be_set() -> None:
    with pytest.raises(ValidationError, match="path"):
        JsonlSettings()  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match=r"task\.path"):
        recipe.load("llm-tiny", ["task={name: jsonl}"])


def test_the_registry_knows_it(tmp_path: Path) -> None:
    settings = recipe.load("llm-tiny", [f"task={{name: jsonl, path: {tmp_path}}}"]).task
    assert isinstance(registry.make(settings), Jsonl)


@pytest.mark.parametrize(
    "solution", ["Step 1.\nQuestion: what now?\n7 it is", "The answer is 9.\n\nQuestion: next?\nAnswer: 7"]
)
def test_a_solution_in_which_the_grader_finds_another_answer_is_refused(solution: str, write_lines: Write) -> None:
    file = write_lines("mine.jsonl", [*ROWS[:20], ROWS[20] | {"solution": solution, "answer": 7}]) / "mine.jsonl"
    with pytest.raises(ValueError, match=r"line 21: the grader exact does not find '7' in the long completion of this"):
        load(path=str(file))


def test_half_a_character_is_refused_with_its_place(write_lines: Write) -> None:
    assert "'solution' has \\ud800, half of a character" in fault(
        write_lines, json.dumps(ROWS[1] | {"solution": "a \ud800 b"})
    )


def test_a_number_of_more_digits_than_are_read_is_one_line(write_lines: Write) -> None:
    message = fault(write_lines, ROWS[1] | {"answer": 10**400})
    assert "is not a number" in message
    assert len(message) < 400
