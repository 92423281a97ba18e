"""Every case computes the numbers that are recorded of it; a difference fails with its place and both values."""

from __future__ import annotations

import copy
import json
import math
import warnings
from pathlib import Path

import pytest

from tests.golden import guard, machine, recording, values
from tests.golden.cases import CASES, ROUNDED, is_language
from tests.golden.comparing import ABSOLUTE, RELATIVE, differences

MOST_BYTES = 200_000
MOST_SHOWN = 8
ADVICE = "If the change is meant: python -m tests.golden record {case}, and say why in the commit."
OTHER_MACHINE = (
    "{case}: recorded on another machine ({recorded}; this one: {here}), so numbers are compared up to a relative "
    f"{RELATIVE:g} and responses are not; for a comparison of bits, record at the commit before your change"
)
SMOKE = "language-star"
"""The slow case that `make test` runs too."""
NAMES = [
    pytest.param(
        name,
        marks=[*([pytest.mark.slow] if is_language(name) else []), *([pytest.mark.smoke] if name == SMOKE else [])],
    )
    for name in CASES
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which cases that keep no numbers of stage 1 find it."""
    return tmp_path_factory.mktemp("golden")


@pytest.mark.parametrize("case", NAMES)
def test_a_case_computes_what_is_recorded(case: str, shared: Path) -> None:
    outcome = guard.check(case, shared)
    if not outcome.exact:
        recorded = values.read(case).machine
        warnings.warn(OTHER_MACHINE.format(case=case, recorded=recorded, here=outcome.now.machine), stacklevel=1)
    shown, more = outcome.differences[:MOST_SHOWN], len(outcome.differences) - MOST_SHOWN
    lines = [*shown, *([f"and {more} more"] if more > 0 else []), ADVICE.format(case=case)]
    assert not outcome.differences, "\n".join(lines)


def test_every_case_is_recorded_and_nothing_else() -> None:
    assert {file.stem for file in values.FOLDER.iterdir()} == set(CASES)
    assert sum(file.stat().st_size for file in values.FOLDER.iterdir()) < MOST_BYTES


@pytest.mark.parametrize("case", CASES)
def test_a_case_keeps_finite_losses_and_gradients_of_what_it_trains(case: str) -> None:
    numbers = values.read(case).numbers
    updates = [columns for kind, columns in numbers.items() if kind.endswith("/update")]
    assert updates
    for columns in updates:
        assert {columns["step"][0], len(columns["loss"])} == {1, len(columns["step"])}
        assert all(math.isfinite(value) for name in ("loss", "grad_norm") for value in columns[name])
    if "pretrain/update" in numbers:
        assert {1, 10} <= set(numbers["pretrain/update"]["step"])


def test_one_bit_of_one_value_is_seen_and_named() -> None:
    recorded = values.read("gpt2").numbers
    now = copy.deepcopy(recorded)
    loss = now["pretrain/update"]["loss"]
    at = now["pretrain/update"]["step"].index(10)
    before, loss[at] = loss[at], math.nextafter(loss[at], math.inf)
    (line,) = differences("gpt2", recorded, now, exact=True)
    assert line.startswith(f"gpt2: pretrain/update loss, step 10: recorded {before!r}, found {loss[at]!r} (relative ")
    assert not list(differences("gpt2", recorded, recorded, exact=True))
    assert not list(differences("gpt2", recorded, now, exact=False))


def test_a_changed_record_fails_with_case_quantity_step_and_both_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, changed = tmp_path / "runs", tmp_path / "changed"
    runs.mkdir()
    recorded = values.read("star")
    loss = recorded.numbers["posttrain/update"]["loss"]
    right, loss[1] = loss[1], loss[1] * (1 + 10 * RELATIVE)
    monkeypatch.setattr(values, "FOLDER", changed)
    values.write("star", recorded)
    with pytest.raises(AssertionError) as failure:
        test_a_case_computes_what_is_recorded("star", runs)
    line, advice, *_ = str(failure.value).splitlines()
    assert line.startswith(f"star: posttrain/update loss, step 2: recorded {loss[1]!r}, found ")
    # Another processor rounds sums in another way.
    rounding = 0 if recorded.machine == machine.describe(language=False) else RELATIVE
    assert float(line.split("found ")[1].split()[0]) == pytest.approx(right, rel=rounding, abs=0)
    assert "record star" in advice


@pytest.mark.parametrize(
    ("kind", "name", "change", "line"),
    [
        ("posttrain/update", "reward_mean", None, "reward_mean, step 1: recorded 0.25, found None"),
        ("posttrain/update", "step", [1, 2], "posttrain/update: recorded at steps [1, 2, 3], found at steps [1, 2]"),
        ("posttrain/update", "kl", [0.5, None, None], "kl, step 1: recorded None, found 0.5"),
        ("posttrain/update", "clip_fraction", [0, 0.0, 0.0], "clip_fraction, step 1: recorded 0.0, found 0"),
        ("posttrain/responses", "digest", ["0"] * 5, "digest, step 0: recorded '"),
        ("later/update", "step", [1], "later/update: recorded at steps None, found at steps [1]"),
    ],
)
def test_what_is_lost_or_new_is_a_difference(kind: str, name: str, change: object, line: str) -> None:
    recorded = values.read("gpt2").numbers
    now = copy.deepcopy(recorded)
    columns = now.setdefault(kind, {})
    if isinstance(change, list):
        columns[name] = change
    else:
        del columns[name]
    assert line in next(differences("gpt2", recorded, now, exact=True))


@pytest.mark.parametrize(("case", "relative"), [("gpt2", RELATIVE), *ROUNDED.items()])
def test_another_machine_may_differ_by_the_tolerance_only(case: str, relative: float) -> None:
    recorded = values.read(case).numbers
    near, far = copy.deepcopy(recorded), copy.deepcopy(recorded)
    for numbers, factor in ((near, 0.5), (far, 2.0)):
        losses = numbers["pretrain/update"]["loss"]
        numbers["pretrain/update"]["loss"] = [loss * (1 + factor * relative) for loss in losses]
        numbers["pretrain/responses"]["digest"][0] = "another"
    assert min(recorded["pretrain/update"]["loss"]) * relative > ABSOLUTE
    assert not list(differences(case, recorded, near, exact=False))
    lines = list(differences(case, recorded, far, exact=False))
    assert len(lines) == len(recorded["pretrain/update"]["step"])
    assert all(f"{case}: pretrain/update loss, step " in line for line in lines)


def test_what_is_written_is_read_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = values.read("language-star")
    recorded.numbers["posttrain/update"]["loss"] = [0.1 + 0.2, -0.0]
    monkeypatch.setattr(values, "FOLDER", tmp_path)
    values.write("language-star", recorded)
    again = values.read("language-star")
    assert again == recorded
    assert [value.hex() for value in again.numbers["posttrain/update"]["loss"]] == [(0.1 + 0.2).hex(), (-0.0).hex()]


def test_a_renamed_key_is_read_under_its_recorded_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"phase": "first", "kind": "update", "step": step, "nll": 1 / step, "norm": {"total": 2.0}}
        for step in range(1, 13)
    ]
    (tmp_path / recording.METRICS).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / recording.RESPONSES).write_text("", encoding="utf-8")
    renamed = {"stage": "phase", "pretrain": "first", "loss": "nll", "grad_norm": "norm.total"}
    monkeypatch.setattr(recording, "RENAMED", renamed)
    kept = [1, 2, 5, 10, 12]
    assert recording.read(tmp_path, ["pretrain"]) == {
        "pretrain/update": {"step": kept, "loss": [1 / step for step in kept], "grad_norm": [2.0] * len(kept)}
    }
