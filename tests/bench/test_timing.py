"""Interleaved repetitions, their medians and ratios, and what is shown of them."""

import itertools
import json

import pytest
import torch
from rich.console import Console

from chainlift.bench.machine import Machine, pick_device
from chainlift.bench.result import Result, format_seconds
from chainlift.bench.tables import WIDTH, result_table
from chainlift.bench.timing import (
    Action,
    Case,
    Comparison,
    Kind,
    Repetition,
    Work,
    clocked,
    interleaved,
    median_seconds,
    per_second,
    ratio,
)


def case(name: str, seconds: list[float], log: list[tuple[str, int]], kind: Kind = "ours", flops: float = 0) -> Case:
    def make() -> Action:
        def act(step: int) -> Repetition:
            log.append((name, step))
            return Repetition(seconds[step], Work(2, 10, flops))

        return act

    return Case(name, kind, make)


def test_cases_take_turns_and_the_first_repetition_is_left_out() -> None:
    log: list[tuple[str, int]] = []
    ticks: list[int] = []
    looks: list[int] = []
    cases = [case("a", [9, 1, 2], log), case("b", [9, 3, 4], log)]
    done = interleaved(cases, 2, lambda: ticks.append(1), lambda: looks.append(len(log)))
    assert [sorted(log[at : at + 2]) for at in (0, 2, 4)] == [[("a", step), ("b", step)] for step in range(3)]
    assert len(ticks) == 6
    assert looks == [0, 2, 4]
    assert {name: [one.seconds for one in own] for name, own in done.items()} == {"a": [1, 2], "b": [3, 4]}


def test_every_case_follows_every_other_one() -> None:
    """A peer leaves caches and memory in a state that costs whoever comes next; it must not always be the same case."""
    log: list[tuple[str, int]] = []
    interleaved([case(name, [1] * 10, log) for name in "abc"], 9)
    followers = {(before[0], after[0]) for before, after in itertools.pairwise(log)}
    assert followers >= {(one, other) for one in "abc" for other in "abc" if one != other}


def test_ratios_are_of_pairs_of_the_same_repetition() -> None:
    """A machine that is ten times as slow in one repetition slows both sides."""
    own = [Repetition(1), Repetition(10), Repetition(1)]
    peer = [Repetition(2), Repetition(30), Repetition(4)]
    assert ratio(peer, own) == (3, 2, 4)
    assert str(ratio(peer, own)) == "3.00 [2.00, 4.00]"
    assert median_seconds(own) == 1


def test_rates_need_a_count_in_every_repetition() -> None:
    assert (
        per_second(
            [Repetition(1, Work(tokens=8)), Repetition(2, Work(tokens=8)), Repetition(4, Work(tokens=8))], "tokens"
        )
        == 4
    )
    assert per_second([Repetition(1, Work(tokens=8)), Repetition(2)], "tokens") is None


def test_the_work_is_counted_after_the_clock_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def look(machine: Machine) -> float:
        order.append("clock")
        return float(len(order))

    def doing(step: int):
        order.append("work")
        return lambda: order.append("count") or Work(step)

    monkeypatch.setattr(Machine, "clock", look)
    assert clocked(Machine(), doing)(7) == Repetition(2, Work(7))
    assert order == ["clock", "work", "clock", "count"]


def test_a_gpu_is_waited_for_before_the_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(1))
    Machine("cpu").clock()
    assert not waited
    Machine("cuda").clock()
    assert waited


def test_a_device_that_is_not_there_or_not_timed_is_named() -> None:
    with pytest.raises(ValueError, match="device: mps is not timed; allowed: auto, cpu, cuda"):
        pick_device("mps")
    if not torch.cuda.is_available():
        assert pick_device("auto") == "cpu"
        with pytest.raises(ValueError, match="device: cuda is not available here"):
            pick_device("cuda")


def result() -> Result:
    log: list[tuple[str, int]] = []
    cases = [
        case("ours", [0, 1, 2], log, flops=8),
        case("transformers", [0, 3, 8], log, "peer"),
    ]
    return Result(Comparison("update", "late", "float32", cases, (8, 32)), interleaved(cases, 2), {"ours": 2**20}, 16.0)


def test_utilization_is_the_share_of_the_limit() -> None:
    found = result()
    ours, peer = found.comparison.cases
    assert found.utilization(ours) == pytest.approx((8 / 1 + 8 / 2) / 2 / 16)
    assert found.utilization(peer) is None
    assert list(found.lines()) == [
        "update, late, float32:",
        "  ours: 1.5 s, 38% of the machine's limit",
        "  transformers: 5.5 s, 3.50 [3.00, 4.00] times ours",
    ]


def test_json_has_every_number() -> None:
    told = json.loads(json.dumps(result().as_dict(), allow_nan=False))
    assert (told["action"], told["state"], told["dtype"]) == ("update", "late", "float32")
    ours, peer = told["cases"]
    assert ours["ratio"] is None
    assert ours["peak_bytes_added"] == 2**20
    assert ours["utilization"] == 0.375
    assert peer["ratio"] == {"median": 3.5, "least": 3, "most": 4}
    assert peer["seconds"] == [3, 8]
    assert peer["sequences_per_second"] == pytest.approx((2 / 3 + 2 / 8) / 2)
    assert peer["utilization"] is None


def test_the_table_has_a_line_a_case_and_no_cell_is_cut() -> None:
    console = Console(width=WIDTH)
    with console.capture() as captured:
        console.print(result_table([result()], 2))
    told = captured.get()
    assert "[least, most]" in told
    assert "…" not in told
    line = next(line for line in told.splitlines() if "transformers" in line)
    assert "3.50 [3.00, 4.00]" in line
    assert sum("1 MiB" in line for line in told.splitlines()) == 1


@pytest.mark.parametrize(("seconds", "told"), [(0.01234, "12.3 ms"), (1.234, "1.23 s"), (75.0, "75.00 s")])
def test_seconds_for_people(seconds: float, told: str) -> None:
    assert format_seconds(seconds) == told
