"""Numbers as people write them, and nothing that runs, grows or contradicts itself."""

import math
from typing import Any

import pytest

from chainlift import yaml_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-7", -7),
        ("+1", 1),
        ("0x10", 16),
        ("0o17", 15),
        (".1", 0.1),
        ("-.1", -0.1),
        ("+.5", 0.5),
        ("1.", 1.0),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-1.5e+2", -150.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
    ],
)
def test_scalars_of_the_core_schema(text: str, value: Any) -> None:
    found = yaml_text.parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["1:30", "1_000", "on", "off", "yes", "No", "y", "2026-11-28", "=", "0b1", "1e"])
def test_what_only_yaml_1_1_takes_for_something_else_is_text(text: str) -> None:
    assert yaml_text.parse(text) == text


def test_nan_is_a_number_which_settings_refuse() -> None:
    assert math.isnan(yaml_text.parse(".nan"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is given twice"),
        ("{x: {y: 1, y: 2}}", "the key 'y' is given twice"),
        ("1: 2", "the key 1 is not text; put it in quotes"),
        ("~: 2", "the key None is not text"),
        ("[a]: 2", r"the key \['a'\] is not text"),
        ("a: &b [1]\nc: *b", "line 1: anchors and aliases are not read"),
        ("*b", "anchors and aliases are not read"),
        ("!!timestamp foo", "tags such as 'tag:yaml.org,2002:timestamp' are not read"),
        ("a: !!python/object/apply:os.system [ls]", "tags such as .* are not read"),
        ("[" * 100_000, "nest"),
        ("[" * 100, "line 1: nested deeper than 32 levels"),
        ("\n".join(" " * i + "a:" for i in range(50)), "line 33: nested deeper than 32 levels"),
        ("9" * 5000, "the number '9+.*9+' is too large"),
        (str(2**63), "is too large"),
        ("a: [1", "not valid YAML"),
        ("a: \x1b", "not valid YAML"),
        ("--- a\n--- b", "not valid YAML: expected a single document"),
    ],
)
def test_what_is_refused_is_one_line(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as found:
        yaml_text.parse(text)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 400


def test_an_on_key_is_text() -> None:
    assert yaml_text.parse("on: 1\nyes: 2") == {"on": 1, "yes": 2}


def test_what_is_written_is_read_back_equal() -> None:
    texts = [
        "1e-3",
        "on",
        "010",
        "0o17",
        "1:30",
        "1_000",
        "",
        "x\ny",
        "é\x1b",
        "=",
        "<<",
        "~",
        "2026-11-28",
        "*a",
        "!b",
    ]
    shared = [1, 2]
    content = {
        "texts": texts,
        "numbers": [1e-5, 0.1, -0.1, 1e300, 10, 0],
        "none": None,
        "a": shared,
        "b": shared,
        "on": True,
        "1": {},
    }
    assert yaml_text.parse(yaml_text.dump(content)) == content
