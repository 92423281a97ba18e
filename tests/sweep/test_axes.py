"""Grids as they are written on the command line."""

import pytest

from chainlift.sweep import axes


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1,2,3", ["1", "2", "3"]),
        ("a=1..4", ["1", "2", "3", "4"]),
        ("a=-1..1", ["-1", "0", "1"]),
        ("a=x", ["x"]),
        ("a=[1,2],[3]", ["[1,2]", "[3]"]),
        ("task={name: running_sum, d: 8},{name: permutation}", ["{name: running_sum, d: 8}", "{name: permutation}"]),
        ("a=1e-4, 3e-4", ["1e-4", "3e-4"]),
        ("a=k=v", ["k=v"]),
    ],
)
def test_axes(text: str, values: list[str]) -> None:
    assert axes.parse(text) == (text.partition("=")[0], values)


@pytest.mark.parametrize("text", ["a", "=1", "a=", "a=1,,2", "a=,", "a=5..1", "a=1..100000"])
def test_bad_axes_are_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an axis|no value|not a range") as found:
        axes.parse(text)
    assert "\n" not in str(found.value)


def test_the_cross_product_and_seeds() -> None:
    found = axes.expand("tiny", ["task.d=6,8", "posttrain.lr=1e-4,3e-4", "pretrain.steps=7"], [1, 2])
    assert len(found) == 8
    assert len({one.run_id for one in found}) == 8
    assert [one.seed for one in found] == [1] * 4 + [2] * 4
    assert {one.setting("pretrain.steps") for one in found} == {7}


def test_zipped_axes_go_side_by_side() -> None:
    found = axes.expand("tiny", ["task.d=6,8", "pretrain.steps=5,7", "posttrain.lr=1e-4"], [0], zipped=True)
    assert [(one.setting("task.d"), one.setting("pretrain.steps")) for one in found] == [(6, 5), (8, 7)]
    with pytest.raises(ValueError, match=r"task\.d has 2, pretrain\.steps has 3"):
        axes.expand("tiny", ["task.d=6,8", "pretrain.steps=1,2,3"], [0], zipped=True)


def test_doubles_are_run_once_and_keys_twice_are_refused() -> None:
    assert len(axes.expand("tiny", ["task.d=8,8"], [0])) == 1
    with pytest.raises(ValueError, match=r"task\.d is given twice"):
        axes.expand("tiny", ["task.d=6", "task.d=8"], [0])


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(ValueError, match=r"task\.dd: unknown key, did you mean 'd'"):
        axes.expand("tiny", ["task.dd=6,8"], [0])


def test_a_grid_without_end_is_refused_before_it_is_made() -> None:
    three = [f"{key}=1..9999" for key in ("task.d", "pretrain.steps", "posttrain.steps")]
    with pytest.raises(ValueError, match=r"the grid of task.d, .* has 999,700,029,999 runs; one sweep has at most"):
        axes.expand("tiny", three, [0])
    with pytest.raises(ValueError, match="not a range"):
        axes.expand("tiny", ["task.d=0..99999999999"], [0])


@pytest.mark.parametrize("value", [".nan", ".inf", "1e999"])
def test_values_of_a_grid_are_finite(value: str) -> None:
    with pytest.raises(ValueError, match=r"posttrain.lr: .*finite"):
        axes.expand("tiny", [f"posttrain.lr=1e-3,{value}"], [0])
