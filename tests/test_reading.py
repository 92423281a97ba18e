"""Whatever a file has become, reading it ends at once, in one line that names it."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import TypedDict

from chainlift import reading


class Part(TypedDict):
    n: int


class Whole(TypedDict):
    name: str
    parts: dict[str, Part]


@dataclass(frozen=True)
class State:
    step: int
    lengths: dict[str, int]
    finished: bool = False


def damaged(file: Path, read: object) -> str:
    """The one line of the error, in which the file is named."""
    assert callable(read)
    with pytest.raises(ValueError, match=r".") as found:
        read(file)
    line = str(found.value)
    assert file.name in line
    assert "\n" not in line
    assert len(line) < 500
    return line


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    for name, told in (
        ("pipe", "not a regular file"),
        ("folder", "not a regular file"),
        ("device", "not a regular file"),
        ("loop", "Too many levels of symbolic links"),
        ("absent", "absent is missing"),
    ):
        assert told in damaged(tmp_path / name, reading.text)


def test_sizes_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: " + b"x" * reading.LARGEST_YAML)
    assert "more than 1,048,576 bytes" in damaged(file, reading.yaml_mapping)
    with file.open("wb") as handle:
        handle.truncate(2**40)  # takes no room on the disk
    assert "more than 67,108,864 bytes" in damaged(file, reading.text)
    monkeypatch.setattr(reading, "LARGEST_ROW", 1000)
    assert "line 1, is damaged: it has more than" in damaged(file, lambda path: list(reading.rows(path)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "Expecting value at line 1, column 1"),
        (b'{"a": 1', "Expecting ',' delimiter"),
        (b"\xff\xfe\x00", "it is not UTF-8 text (byte 0)"),
        (b"[1]", "it must hold keys and values (it holds [1])"),
        (b'"a"', "it must hold keys and values (it holds 'a')"),
        (b'{"a": NaN}', "NaN is not finite"),
        (b'{"a": -Infinity}', "-Infinity is not finite"),
        (b'{"a": 1e999}', "'1e999' is not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is too large"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
        (b"[" * 100_000, "nested deeper than 64 levels"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper than 64 levels"),
        (rb'{"a": "\ud800"}', "half of a surrogate pair"),
    ],
)
def test_json_that_is_none(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    assert told in damaged(file, reading.json_mapping)
    file.write_bytes(b'{"whole": 1}\n' + content.replace(b"\n", b"") + b"\n")
    assert "a.json, line 2, is damaged" in damaged(file, lambda path: list(reading.rows(path)))


def test_what_is_whole_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": [1, -2.5, true, null, "\\ud83d\\ude00 \xc3\xa9"]}\n{"b": 1}')
    first, second = reading.rows(file)
    assert first == {"a": [1, -2.5, True, None, "\U0001f600 é"]}
    assert second == {"b": 1}
    (tmp_path / "a.yaml").write_text("a: 010", encoding="utf-8")
    assert reading.yaml_mapping(tmp_path / "a.yaml") == {"a": 10}


@pytest.mark.parametrize("content", ["", "- 1", "a: 1\na: 2", "a: &x 1", "1: 2", "[" * 99, "a: !!str b"])
def test_yaml_that_is_none(content: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(content, encoding="utf-8")
    assert "recipe.yaml is damaged" in damaged(file, reading.yaml_mapping)


def test_types_are_checked_and_the_key_is_named() -> None:
    whole = {"name": "a", "parts": {"b": {"n": 1}}}
    assert reading.checked(whole, Whole, "f") == whole
    for wrong, told in (
        ({"name": "a"}, "f is damaged: it lacks parts"),
        ({"name": 3, "parts": {}}, r"f is damaged: name: .*string \(it is 3\)"),
        ({"name": "a", "parts": {"b": {"n": "1"}}}, r"f is damaged: parts.b.n: .*integer \(it is '1'\)"),
        ({"name": "a", "parts": ["\x1b" * 10**6]}, r"f is damaged: parts: .*dictionary"),
    ):
        with pytest.raises(ValueError, match=told) as found:
            reading.checked(wrong, Whole, "f")
        assert len(str(found.value)) < 400


def test_a_dataclass_is_made_of_a_mapping() -> None:
    assert reading.checked({"step": 3, "lengths": {"a": 1}}, State, "f") == State(3, {"a": 1})
    with pytest.raises(ValueError, match=r"f is damaged: it lacks lengths"):
        reading.checked({"step": 3}, State, "f")
    with pytest.raises(ValueError, match=r"f is damaged: finished: .*boolean \(it is 1\)"):
        reading.checked({"step": 3, "lengths": {}, "finished": 1}, State, "f")


def test_a_name_with_an_escape_sequence_is_written_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\\x1b\[2J is missing"):
        reading.text(tmp_path / "\x1b[2J")


def test_another_programs_file_may_hold_other_numbers(tmp_path: Path) -> None:
    """transformers writes model_max_length 1e30 for a tokenizer without a limit, and some of its models Infinity."""
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps({"model_max_length": int(1e30)}), encoding="utf-8")
    assert reading.json_mapping(file, foreign=True) == {"model_max_length": int(1e30)}
    with pytest.raises(ValueError, match="is too large"):
        reading.json_mapping(file)
    file.write_text('{"time_step_limit": [0.0, Infinity]}', encoding="utf-8")
    assert reading.json_mapping(file, foreign=True) == {"time_step_limit": [0.0, math.inf]}
    file.write_text("{" + f'"a": {"9" * 5000}' + "}", encoding="utf-8")
    with pytest.raises(ValueError, match="is too large"):
        reading.json_mapping(file, foreign=True)
