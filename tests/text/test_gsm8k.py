import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chainlift.text.sources import records
from chainlift.text.sources.gsm8k import Gsm8k, Gsm8kSettings

ROWS = [
    {"question": "Ana has 3 pens and buys 4. How many?", "answer": "Ana has 3+4=<<3+4=7>>7 pens.\n#### 7"},
    {
        "question": "Bo saves $600 twice. How much?",
        "answer": "He saves $<<600*2=1200>>1,200.\n\nThat is all.\n#### 1,200",
    },
]


@pytest.fixture
def folder(write_lines: Callable[..., Path]) -> str:
    write_lines("test.jsonl", ROWS[:1])
    return str(write_lines("train.jsonl", ROWS))


def message(row: Any, write_lines: Callable[..., Path]) -> str:
    """What is said of a file whose second line is `row`."""
    write_lines("test.jsonl", ROWS)
    folder = write_lines("train.jsonl", [ROWS[0], row])
    with pytest.raises(ValueError, match="train") as found:
        Gsm8k(Gsm8kSettings(path=str(folder))).load()
    told = str(found.value)
    assert "\n" not in told
    return told


def test_solution_and_answer_are_taken_apart(folder: str) -> None:
    train, test = Gsm8k(Gsm8kSettings(path=folder)).load()
    assert [(p.question, p.solution, p.answer, p.steps) for p in train] == [
        (ROWS[0]["question"], "Ana has 3+4=7 pens.", "7", 1),
        (ROWS[1]["question"], "He saves $1,200.\n\nThat is all.", "1,200", 2),
    ]
    assert test == train[:1]


def test_notes_can_be_kept(folder: str) -> None:
    train, _ = Gsm8k(Gsm8kSettings(path=folder, calculator="keep")).load()
    assert train[0].solution == "Ana has 3+4=<<3+4=7>>7 pens."


def test_limits(folder: str) -> None:
    train, test = Gsm8k(Gsm8kSettings(path=folder, train_limit=1, test_limit=5)).load()
    assert (len(train), len(test)) == (1, 1)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{", "not valid JSON"),
        ("[1]", "not a JSON object"),
        ({"question": "How many?"}, "the key 'answer' is missing"),
        ({"question": 3, "answer": "One.\n#### 1"}, "the key 'question' is 3, not a text"),
        ({"question": "How many?", "answer": "Seven"}, "no last line like"),
        ({"question": "How many?", "answer": "Seven.\n#### seven"}, "no number follows #### (found 'seven')"),
        ({"question": " ", "answer": "One.\n#### 1"}, "the question is empty"),
        ({"question": "How many?", "answer": "\n#### 1"}, "the solution is empty"),
        ({"question": "How many?", "answer": "One.\n#### 1\n2"}, "more than one line"),
    ],
)
def test_wrong_lines_are_named(row: Any, told: str, write_lines: Callable[..., Path]) -> None:
    found = message(row, write_lines)
    assert told in found
    assert "train.jsonl, line 2: " in found


def test_wrong_files_are_named(write_lines: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train\.jsonl is missing; expected lines"):
        Gsm8k(Gsm8kSettings(path=str(tmp_path))).load()
    write_lines("train.jsonl", [])
    with pytest.raises(ValueError, match=r"train\.jsonl is empty; expected lines"):
        Gsm8k(Gsm8kSettings(path=str(tmp_path))).load()
    (tmp_path / "train.jsonl").write_bytes(b"\xff\xfe{")
    with pytest.raises(ValueError, match=r"train\.jsonl is not UTF-8 text"):
        Gsm8k(Gsm8kSettings(path=str(tmp_path))).load()


def test_lines_end_at_line_ends_alone(write_lines: Callable[..., Path]) -> None:
    """A text of the real training set holds U+2028, at which str.splitlines would cut it."""
    odd = {"question": "One\u2028two?\x85", "answer": "One.\u2028\n#### 1"}
    assert "\u2028" in write_lines("train.jsonl", [odd]).joinpath("train.jsonl").read_text(encoding="utf-8")
    write_lines("test.jsonl", ["", odd, "  "])
    folder = write_lines("train.jsonl", [odd, odd])
    train, test = Gsm8k(Gsm8kSettings(path=str(folder))).load()
    assert (len(train), len(test)) == (2, 1)
    assert train[0].question.startswith("One\u2028two?")


def test_nothing_is_fetched_unasked(fake_hub: dict[Any, Any]) -> None:
    fake_hub["openai/gsm8k", "main", "train"] = fake_hub["openai/gsm8k", "main", "test"] = ROWS
    with pytest.raises(ValueError, match=r"^gsm8k: no data; set task\.path to .*, or task\.download=true"):
        Gsm8k(Gsm8kSettings()).load()
    train, _ = Gsm8k(Gsm8kSettings(download=True)).load()
    assert train[0].answer == "7"


def test_the_hub_s_errors_are_one_line(fake_hub: dict[Any, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"^cannot download openai/gsm8k \(main, train\): .*Connection.*task\.path"
    ) as e:
        Gsm8k(Gsm8kSettings(download=True)).load()
    assert "\n" not in str(e.value)
    fake_hub["openai/gsm8k", "main", "train"] = [ROWS[0], {"question": "?", "answer": "none"}]
    with pytest.raises(ValueError, match=r"^openai/gsm8k main train, row 2: "):
        Gsm8k(Gsm8kSettings(download=True)).load()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"pip install 'chainlift\[llm\]'"):
        Gsm8k(Gsm8kSettings(download=True)).load()


@pytest.mark.slow
def test_the_real_package_without_a_network() -> None:
    """HF_HUB_OFFLINE is set for all tests."""
    with pytest.raises(ValueError, match="cannot download no-such-owner/no-such-data") as found:
        next(records.from_hub("no-such-owner/no-such-data", "main", "train"))
    assert "\n" not in str(found.value)


def test_download_is_no_part_of_a_run_s_identity() -> None:
    assert Gsm8kSettings(download=True).identity() == Gsm8kSettings().identity()


def test_the_real_data_set(gsm8k_folder: str) -> None:
    train, test = Gsm8k(Gsm8kSettings(path=gsm8k_folder)).load()
    assert (len(train), len(test)) == (7473, 1319)
    assert not any(mark in p.solution for p in [*train, *test] for mark in ("<<", ">>", "####"))
    assert (train[0].answer, train[0].steps) == ("72", 2)
    kept, _ = Gsm8k(Gsm8kSettings(path=gsm8k_folder, calculator="keep")).load()
    assert sum("<<" in p.solution for p in kept) == 7378
