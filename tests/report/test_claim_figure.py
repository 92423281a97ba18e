"""A claim's figure: a panel a quantity, curves by series, and a legend that fits below however few panels there are."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from chainlift.measure.finding import Finding
from chainlift.report.claim_figure import claim_figure


def findings(quantities: int) -> list[Finding]:
    return [
        Finding(f"quantity {q}", f"p_cot {p}, round {n}", (p + n, p + n + 0.1), p + n, 0.1, x=n, series=f"p_cot {p}")
        for q in range(quantities)
        for p in (0.1, 0.05, 0.02)
        for n in range(3)
    ]


@pytest.mark.parametrize("quantities", [1, 2, 4, 7])
def test_panels_series_and_legend(quantities: int) -> None:
    figure = claim_figure(findings(quantities))
    assert figure is not None
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
    figure = claim_figure(points)
    assert figure is not None
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("log", "log")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["10", "30", "100"]
