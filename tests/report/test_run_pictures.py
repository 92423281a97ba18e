"""A run's figures: references that say what they are, rewards below 0, and titles that hold anything."""

import csv
from copy import deepcopy
from pathlib import Path

from chainlift.report.figures import interactive, run_pictures, static
from chainlift.report.figures.picture import Lines
from chainlift.report.record import read


def test_the_reference_says_what_it_is_in_the_csv_and_where_one_points_at_it(finished: Path) -> None:
    record = read(finished)
    assert record.summary is not None
    reference = record.summary["theory"]["reference"]
    assert "0.1 log-odds an update at the peak rate" in reference["name"]
    with (finished / "figures/lift.csv").open(encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["kind"] == "reference"]
    for line, quantity, key in (
        ("sampled", "share of long responses", "sampled_long_share"),
        ("sampled", "accuracy", "sampled_accuracy"),
        ("greedy", "accuracy", "greedy_accuracy"),
    ):
        curve = [row for row in rows if (row["line"], row["quantity"]) == (f"{line}, {reference['name']}", quantity)]
        assert [float(row["x"]) for row in curve] == reference["sequences"]
        assert [float(row["y"]) for row in curve] == reference[key]
    assert len(rows) == 3 * len(reference["sequences"])
    assert {row["panel"] for row in rows} == {"Reinforcement learning"}

    data = interactive.draw(run_pictures.lift(record))["data"]
    traces = [trace for trace in data if trace.get("name") == "reference without noise"]
    assert [len(trace["x"]) for trace in traces] == [1, *[len(reference["sequences"])] * 3]
    assert [trace.get("showlegend", True) for trace in traces] == [True, False, False, False]
    for trace, mode in zip(traces[1:], ("greedy", "sampled", "sampled"), strict=True):
        assert f"{mode}, {reference['name']}" in trace["hovertemplate"].replace("<br>", " ")


def test_negative_rewards_are_inside_the_panel(finished: Path) -> None:
    record = deepcopy(read(finished))
    for sign, row in enumerate(record.of("posttrain", "update")):
        row["reward_mean"] = -0.4 if sign % 2 else 0.2
    samples = run_pictures.signal(record, "posttrain").panels[1]
    assert isinstance(samples, Lines)
    assert samples.y_range is not None
    low, high = samples.y_range
    assert all(low <= y <= high for line in samples.lines for y in line.values[0])
    assert low < -0.4


def test_a_title_with_dollars_is_no_formula(finished: Path, tmp_path: Path) -> None:
    record = deepcopy(read(finished))
    record.recipe["stages"]["pretrain"]["title"] = "a_b for $x^_$"
    paths = [path for picture in run_pictures.pictures(record) for path in static.write(picture, tmp_path)]
    assert all(path.stat().st_size > 1000 for path in paths)
    rows = (tmp_path / "lift.csv").read_text(encoding="utf-8")
    assert "A_b for $x^_$" in rows
