"""A claim's figure: plain numbers that JSON and csv hold, drawn with a panel a quantity and a legend that fits."""

import csv
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from chainlift.measure.finding import Finding
from chainlift.report.figures import interactive, static
from chainlift.report.figures.claim_picture import findings_picture
from chainlift.report.figures.means import SeedMean, mean_over_seeds, numbers, positions
from chainlift.report.figures.palette import THEORY
from chainlift.report.figures.picture import Line, Lines, Map, Mark, Picture, plain

SEEDS = (0, 1)


def findings(quantities: int) -> list[Finding]:
    return [
        Finding(f"quantity {q}", f"p_cot {p}, round {n}", (p + n, p + n + 0.1), p + n, 0.1, x=n, series=f"p_cot {p}")
        for q in range(quantities)
        for p in (0.1, 0.05, 0.02)
        for n in range(3)
    ]


@pytest.mark.parametrize("quantities", [1, 2, 4, 7])
def test_panels_series_and_legend(quantities: int) -> None:
    picture = findings_picture("name", "title", SEEDS, findings(quantities))
    assert picture is not None
    figure = static.draw(picture)
    drawn = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in drawn] == [f"quantity {q}" for q in range(quantities)]
    FigureCanvasAgg(figure).draw()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["predicted", "p_cot 0.1", "p_cot 0.05", "p_cot 0.02"]


def test_a_prediction_has_a_gap_where_none_is_made() -> None:
    predictions = (0.0, 0.0, None, 1.0, 1.0)
    points = [
        Finding("share", f"p {x}", (0.1,) * len(SEEDS), value, 0.05, x=x, axis="p")
        for x, value in enumerate(predictions)
    ]
    picture = findings_picture("name", "title", SEEDS, points)
    assert picture is not None
    panel = picture.panels[0]
    assert isinstance(panel, Lines)
    (values,) = next(line.values for line in panel.lines if line.kind == "predicted")
    assert [None if math.isnan(value) else value for value in values] == list(predictions)


def test_a_power_law_is_drawn_on_logarithms() -> None:
    points = [Finding("count", f"d {d}", (d**1.5, 2 * d**1.5), x=d, axis="d", geometric=True) for d in (10, 30, 100)]
    picture = findings_picture("name", "title", SEEDS, points)
    assert picture is not None
    figure = static.draw(picture)
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("log", "log")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["10", "30", "100"]


def test_many_places_are_a_course_drawn_as_a_curve() -> None:
    points = [Finding("accuracy", f"{n} steps", (0.4, 0.6), x=n, axis="steps", share=True) for n in range(10, 400, 10)]
    picture = findings_picture("name", "title", SEEDS, points)
    assert picture is not None
    panel = picture.panels[0]
    assert isinstance(panel, Lines)
    assert (panel.form, panel.log_x) == ("curves", False)
    figure = static.draw(picture)
    FigureCanvasAgg(figure).draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    assert len(boxes) > 3
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_a_point_is_no_curve() -> None:
    assert findings_picture("name", "title", SEEDS, [Finding("one", "", (0.1, 0.2), x=1)]) is None
    assert findings_picture("name", "title", SEEDS, [Finding("one", "", (0.1, 0.2))]) is None


PICTURE = Picture(
    "both",
    "Two kinds of panels",
    SEEDS,
    (
        Lines(
            "lines",
            "x",
            "y",
            (
                Line("predicted", (1.0, 2.0), ((0.5, 0.6),), "predicted"),
                Line("fitted", (1.0, 2.0), ((0.5, 0.7),), "fitted"),
                Line("measured", (1.0, 2.0), ((0.4, math.nan), (0.6, 0.8))),
            ),
            (Mark(1.5, "here"), Mark(1.7, "there", "fitted")),
            form="curves",
        ),
        Map("map", "row", "column", ("a", "b"), ("1", "2"), (((0, 1), (2, 3)), ((0, 1), (2, 5))), "unit", (0, 5), True),
    ),
)


def test_every_number_is_in_the_csv(tmp_path: Path) -> None:
    paths = static.write(PICTURE, tmp_path)
    assert [path.suffix for path in paths] == [".pdf", ".png", ".csv"]
    assert all(path.stat().st_size > 100 for path in paths)
    with paths[2].open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 + 2 + 4 + 8
    bare = {"low": "", "high": ""}
    of_map = {"panel": "map", "quantity": "unit", "line": "b", "kind": "main", "seed": "1", "x": "2", "y": "5"}
    assert of_map | bare in rows
    level = {"panel": "lines", "quantity": "y", "line": "predicted", "kind": "predicted", "seed": "", "x": "1.0"}
    assert level | {"y": "0.5"} | bare in rows


def test_the_numbers_drawn_are_means_with_their_intervals() -> None:
    rows = {(panel, line, at): mean for panel, line, at, mean in numbers(PICTURE)}
    assert rows["lines", "measured", "1"] == mean_over_seeds([0.4, 0.6])
    assert rows["lines", "measured", "2"] == SeedMean(1, 0.8, None, None)
    assert rows["map", "b", "2"].mean == 4
    assert len(rows) == 2 + 2 + 2 + 4


def test_points_at_the_same_place_stand_side_by_side() -> None:
    a, b = Line("a", (1.0, 10.0, 100.0), ((0.0,) * 3,)), Line("b", (10.0,), ((1.0,),))
    panel = Lines("points", "x", "y", (a, b), log_x=True)
    assert positions(a, panel)[::2] == [1, 100]
    left, right = positions(a, panel)[1], positions(b, panel)[0]
    assert left * right == pytest.approx(100)
    assert math.log(right / left) == pytest.approx(0.02 * math.log(100))
    assert positions(a, replace(panel, form="curves")) == [1, 10, 100]


@pytest.mark.parametrize("layout", ["wide", "narrow"])
@pytest.mark.parametrize("columns", [0, 2])
def test_plotly_takes_what_a_page_draws(layout: str, columns: int) -> None:
    """Whose panels do not cover each other, in the order of the picture."""
    panels = (PICTURE.panels[0], replace(PICTURE.panels[0], form="areas"), *PICTURE.panels)
    drawn = interactive.draw(replace(PICTURE, panels=panels, columns=columns))
    figure = go.Figure(drawn["data"], drawn[layout]).to_plotly_json()
    boxes = [
        (*figure["layout"][f"xaxis{n}"]["domain"], *figure["layout"][f"yaxis{n}"]["domain"]) for n in ("", 2, 3, 4)
    ]
    for (left, right, bottom, top), (other_left, other_right, other_bottom, other_top) in itertools.combinations(
        boxes, 2
    ):
        assert right <= other_left or other_right <= left or top <= other_bottom or other_top <= bottom
    assert all(0 <= low < high <= 1 for box in boxes for low, high in (box[:2], box[2:]))
    assert len({box[0] for box in boxes if box[0] < 0.1}) <= 2
    json.dumps(drawn, allow_nan=False)


def test_the_legend_of_a_page_has_each_name_once_and_seeds_are_hidden_until_asked_for() -> None:
    drawn = interactive.draw(replace(PICTURE, panels=(PICTURE.panels[0], PICTURE.panels[0])))
    named = [trace["name"] for trace in drawn["data"] if trace.get("showlegend", True)]
    assert named == ["predicted", "fitted", "each seed", "measured"]
    assert [mark["name"] for mark in drawn["wide"]["shapes"] if mark["showlegend"]] == ["here", "there"]
    seeds = [trace for trace in drawn["data"] if trace.get("name") == "each seed"]
    assert len(seeds) == 2
    assert seeds[0]["visible"] == "legendonly"
    assert seeds[0]["y"] == [0.4, None, None, 0.6, 0.8, None]


def test_a_prediction_is_hidden_with_its_line() -> None:
    places, values = (1.0, 2.0), ((0.5, 0.6),)
    lines = (
        *(Line(f"{name}predicted", places, values, "predicted") for name in ("", "a, ", "a, b, ")),
        Line("a, reference: no noise, slow", places, values, "reference"),
        *(Line(name, places, values) for name in ("a", "a, b")),
    )
    drawn = interactive.draw(Picture("p", "t", (0,), (Lines("one", "x", "y", lines),) * 2))["data"]
    groups = [(trace["name"], trace["legendgroup"], trace.get("showlegend", True)) for trace in drawn]
    panel = [
        ("predicted", "predicted", False), ("predicted", "a", False), ("predicted", "a, b", False),
        ("reference without noise", "a", False),
    ]  # fmt: skip
    assert groups == [
        ("predicted", "predicted", True), ("reference without noise", "reference without noise", True),
        *panel, ("a", "a", True), ("a, b", "a, b", True),
        *panel, ("a", "a", False), ("a, b", "a, b", False),
    ]  # fmt: skip
    keys = [(trace["x"], trace["line"]["color"]) for trace in drawn if trace.get("meta") == "key"]
    assert keys == [([None], THEORY)] * 2


def test_counts_stay_whole_where_numbers_are_rounded() -> None:
    values = plain({"x": (6_123_456.0, 0.1234567, math.nan), "count": 6_123_456, "name": "a"}, 5)
    assert values == {"x": [6_123_456.0, 0.12346, None], "count": 6_123_456, "name": "a"}


def test_what_is_drawn() -> None:
    figure = static.draw(PICTURE)
    lines, cells = figure.axes[:2]
    assert {line.get_label() for line in lines.lines} >= {"predicted", "fitted", "measured", "here"}
    assert [text.get_text() for text in cells.texts] == ["0", "1", "2", "4"]
    assert [label.get_text() for label in cells.get_yticklabels()] == ["a", "b"]


def test_means_over_the_seeds_that_have_a_value() -> None:
    half = 4.3027 * 0.02 / math.sqrt(3)  # Student's t with 2 degrees of freedom; the sample's std is .02
    found = mean_over_seeds([0.48, None, 0.50, math.nan, 0.52])
    assert (found.n, found.mean) == (3, pytest.approx(0.5))
    assert (found.low, found.high) == (pytest.approx(0.5 - half, abs=1e-6), pytest.approx(0.5 + half, abs=1e-6))
    assert mean_over_seeds([None, 2.0]) == SeedMean(1, 2.0, None, None)
    assert mean_over_seeds([None, math.nan]) == SeedMean(0, None, None, None)
    assert mean_over_seeds([0.9, 1.0, 1.0], share=True).high == 1
    factors = mean_over_seeds([10.0, 0.0, 1000.0], geometric=True)
    assert (factors.n, factors.mean) == (2, pytest.approx(100))
    assert factors.low is not None
    assert 0 < factors.low < 10
