"""Every cell of the table of predictions, and every curve of its figure, is the quantity that stands beside it."""

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from chainlift.learning.presets import PRESETS
from chainlift.report.figures import theory_figure
from chainlift.report.terminal.theory_table import theory_table
from chainlift.theory import closed_forms, groups, star
from chainlift.theory.forecast import forecast
from chainlift.theory.mode_policy import Setting

SETTING = Setting(modulus=3, d=7, temperature=1.5, q=0.8, reward="chain")


def cells(setting: Setting, p: float, **options: Any) -> dict[str, tuple[str, str]]:
    """{name: (prediction, what it means)} of the table."""
    names, values, meanings = (list(column.cells) for column in theory_table(forecast(setting, p, **options)).columns)
    return {str(n): (str(v), str(m)) for n, v, m in zip(names, values, meanings, strict=True)}


def test_every_cell_is_what_it_is_called() -> None:
    found = cells(SETTING, 0.2)
    options: dict[str, Any] = {"temperature": 1.5, "q": 0.8}
    expected = {
        "threshold": 0.25,
        "greedy accuracy": 1 / 3,
        "greedy length": 1,
        "sampled long share": closed_forms.sampled_long_share(0.2, 3, 1.5),
        "sampled accuracy": closed_forms.sampled_accuracy(0.2, 3, 1.5, q=0.8),
        "least loss": closed_forms.mixture_entropy(7, 3, 0.2).token,
        "mean reward": groups.pass_at_k(0.2, 1, 3, reward="chain", **options),
        "groups without signal": groups.dead_group_probability(0.2, 8, 3, reward="chain", **options),
        "STaR: next share": star.star_next_share(closed_forms.sampled_long_share(0.2, 3, 1.5), 3, q=0.8),
    }
    for name, value in expected.items():
        assert float(found[name][0]) == pytest.approx(value, rel=1e-3), name
    assert len(set(expected.values())) == len(expected), "no two can be taken for each other"
    assert found["greedy answers"] == ("short", "0.2 is at or below the threshold")
    flip = star.star_rounds_to_flip(0.2, 3, temperature=1.5, fit_temperature=1.5, q=0.8)
    assert found["STaR: rounds to flip"][0] == str(flip)
    solved = [groups.pass_at_k(0.2, k, 3, reward="chain", **options) for k in (1, 4, 16, 64)]
    assert found["pass@k"][0] == ", ".join(f"{v:.3f} ({k})" for v, k in zip(solved, (1, 4, 16, 64), strict=True))


def test_above_the_threshold_and_with_a_marker() -> None:
    assert cells(SETTING, 0.3)["greedy answers"] == ("long", "0.3 is above the threshold")
    assert cells(SETTING, 0.3)["greedy length"][0] == "7"
    marked = cells(Setting(modulus=3, d=7, marker=True), 0.4)
    assert marked["threshold"] == ("0.5", "1/2: greedy answers go long for larger shares only")
    assert marked["greedy length"][0] == "2"


def test_the_rows_of_the_reference() -> None:
    told = forecast(SETTING, 0.2, algorithm=PRESETS["dr_grpo"], name="dr_grpo", updates=16)["reference"]
    found = cells(SETTING, 0.2, algorithm=PRESETS["dr_grpo"], name="dr_grpo", updates=16)
    assert found["dr_grpo: direction"][0] == f"{told['drift'][0]:+.3g}, {told['drift'][1]:+.3g}"
    assert found["dr_grpo: long share"][0] == " ".join(f"{share:.3f}" for share in told["long_share"][::2])
    never = cells(Setting(q=0.3, reward="chain"), 0.25, algorithm=PRESETS["grpo"], name="grpo")
    assert never["grpo: flips at update"][0] == "not within 60"
    assert never["STaR: rounds to flip"][0] == "never"


def curves(figure: Figure, panel: int) -> dict[str, np.ndarray]:
    """{label: y} of a panel's lines, those of a second y axis in the same place included."""
    place = figure.axes[panel].get_position().bounds
    same = [ax for ax in figure.axes if ax.get_position().bounds == place]
    return {str(line.get_label()): np.asarray(line.get_ydata()) for ax in same for line in ax.get_lines()}


def test_the_figure_draws_what_it_says() -> None:
    setting = Setting(modulus=3, d=7)
    figure = theory_figure.overview(setting, forecast(setting, 0.1, algorithm=PRESETS["rloo"], name="rloo", updates=30))
    edge = max(figure.axes[0].get_lines(), key=lambda line: len(np.asarray(line.get_xdata())))
    edges = sorted({round(float(x), 9) for x in np.asarray(edge.get_xdata())})
    assert edges == sorted(round(1 / (K + 1), 9) for K in theory_figure.MODULI)
    own = curves(figure, 2)
    longer = np.array([p > 0.25 for p in theory_figure.SHARES])
    assert (own["greedy length"] == np.where(longer, 7, 1)).all()
    assert own["mean sampled length"] == pytest.approx(1 + 6 * theory_figure.SHARES)
    assert own["sampled accuracy"] == pytest.approx(theory_figure.SHARES + (1 - theory_figure.SHARES) / 3)
    told, own = (
        forecast(setting, 0.1, algorithm=PRESETS["rloo"], name="rloo", updates=30)["reference"],
        curves(figure, 3),
    )
    for label, key in (
        ("long share (samples)", "long_share"),
        ("accuracy (samples)", "accuracy"),
        ("accuracy (greedy)", "greedy_accuracy"),
    ):
        assert own[label].tolist() == told[key]


@pytest.mark.parametrize("temperature", [0.05, 1.0, 10.0])
def test_the_setting_s_own_temperature_is_on_the_axis(temperature: float) -> None:
    setting = Setting(temperature=temperature)
    figure = theory_figure.overview(setting, forecast(setting, 0.25))
    (axis,) = [ax for ax in figure.axes if ax.get_ylabel() == "temperature"]
    low, high = axis.get_ylim()
    assert low <= temperature <= high
