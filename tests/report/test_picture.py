"""A claim's figure: plain numbers that JSON and csv hold, drawn with a panel a quantity and a legend that fits."""

import csv
import itertools
import json
import math
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from chainlift.measure.finding import Finding
from chainlift.report.figures import picture_print
from chainlift.report.figures.claim_picture import findings_picture
from chainlift.report.figures.picture import Line, Lines, Map, Mark, Picture, SeedMean, mean_over_seeds

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
    figure = picture_print.draw(picture)
    drawn = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in drawn] == [f"quantity {q}" for q in range(quantities)]
    FigureCanvasAgg(figure).draw()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["predicted", "p_cot 0.1", "p_cot 0.05", "p_cot 0.02"]


def test_a_power_law_is_drawn_on_logarithms() -> None:
    points = [Finding("count", f"d {d}", (d**1.5, 2 * d**1.5), x=d, axis="d", geometric=True) for d in (10, 30, 100)]
    picture = findings_picture("name", "title", SEEDS, points)
    assert picture is not None
    figure = picture_print.draw(picture)
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("log", "log")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["10", "30", "100"]


def test_many_places_are_a_course_drawn_as_a_curve() -> None:
    points = [Finding("accuracy", f"{n} steps", (0.4, 0.6), x=n, axis="steps", share=True) for n in range(10, 400, 10)]
    picture = findings_picture("name", "title", SEEDS, points)
    assert picture is not None
    panel = picture.panels[0]
    assert isinstance(panel, Lines)
    assert (panel.joined, panel.log_x) == (True, False)
    figure = picture_print.draw(picture)
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
                Line("predicted", (1.0, 2.0), ((0.5, 0.6),), predicted=True),
                Line("fitted", (1.0, 2.0), ((0.5, 0.7),), predicted=True, fitted=True),
                Line("measured", (1.0, 2.0), ((0.4, math.nan), (0.6, 0.8))),
            ),
            (Mark(1.5, "here"), Mark(1.7, "there", "fitted")),
            joined=True,
        ),
        Map("map", "row", "column", ("a", "b"), ("1", "2"), (((0, 1), (2, 3)), ((0, 1), (2, 5))), "unit", (0, 5), True),
    ),
)


def test_every_number_is_in_the_csv_and_in_json(tmp_path: Path) -> None:
    paths = picture_print.write(PICTURE, tmp_path)
    assert [path.suffix for path in paths] == [".pdf", ".png", ".csv"]
    assert all(path.stat().st_size > 100 for path in paths)
    with paths[2].open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 + 2 + 4 + 8
    assert {"panel": "map", "line": "b", "seed": "1", "x": "2", "y": "5"} in rows
    assert {"panel": "lines", "line": "predicted", "seed": "", "x": "1.0", "y": "0.5"} in rows
    told = json.loads(json.dumps(PICTURE.as_dict(), allow_nan=False))
    assert [panel["kind"] for panel in told["panels"]] == ["lines", "map"]
    assert told["panels"][0]["lines"][2]["values"] == [[0.4, None], [0.6, 0.8]]
    assert told["panels"][0]["marks"] == [
        {"x": 1.5, "label": "here", "kind": "predicted"},
        {"x": 1.7, "label": "there", "kind": "fitted"},
    ]


def test_what_is_drawn() -> None:
    figure = picture_print.draw(PICTURE)
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
