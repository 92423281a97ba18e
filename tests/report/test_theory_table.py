"""Every cell of the table of predictions, and every curve of its figure, is the quantity that stands beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from chainlift.learning.presets import PRESETS
from chainlift.report.figures import interactive, static, theory_picture
from chainlift.report.figures.picture import Lines, Map, Picture
from chainlift.report.figures.theory_picture import SHARES, WHOLE
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


def overview(setting: Setting, p: float, **options: Any) -> dict[str, Lines | Map]:
    """{title: panel} of the figure."""
    return {panel.title: panel for panel in theory_picture.overview(setting, forecast(setting, p, **options)).panels}


def values(panel: Lines | Map) -> dict[str, tuple[float, ...]]:
    return {line.name: line.values[0] for line in panel.lines}


def test_the_figure_draws_what_it_says() -> None:
    options: dict[str, Any] = {"algorithm": PRESETS["rloo"], "name": "rloo", "updates": 30}
    panels = overview(Setting(modulus=3, d=7), 0.1, **options)
    moduli = panels["Greedy answers: long right of the line, 1/(K + 1)"]
    assert isinstance(moduli, Map)
    assert moduli.rows == tuple(range(2, 13))
    assert moduli.lines[0].x == pytest.approx([1 / (K + 1) for K in range(2, 13)])
    assert moduli.values[0][1] == tuple(closed_forms.go_on_probability(p, 3) for p in SHARES)
    lengths = values(panels["After next-token prediction: length"])
    assert lengths["greedy"] == tuple(7 if p > 0.25 else 1 for p in WHOLE)
    assert lengths["sampled"] == pytest.approx([1 + 6 * p for p in WHOLE])
    accuracies = values(panels["After next-token prediction: accuracy"])
    assert accuracies["greedy"] == pytest.approx([1 if p > 0.25 else 1 / 3 for p in WHOLE])
    assert accuracies["sampled"] == pytest.approx([p + (1 - p) / 3 for p in WHOLE])
    reference, shown = (
        forecast(Setting(modulus=3, d=7), 0.1, **options)["reference"],
        values(panels["Reference under rloo, without noise"]),
    )
    for name, key in (("sampled, long share", "long_share"), ("sampled", "accuracy"), ("greedy", "greedy_accuracy")):
        assert list(shown[name]) == reference[key]


def test_greedy_accuracy_above_the_threshold_is_that_of_chains() -> None:
    panel = overview(Setting(q=0.6), 0.25)["After next-token prediction: accuracy"]
    (greedy,) = [line for line in panel.lines if line.name == "greedy"]
    assert greedy.steps
    assert sorted(set(greedy.values[0])) == pytest.approx([0.5, 0.8])


def test_panels_over_p_cot_reach_from_0_to_1_and_the_legend_names_what_is_over_the_maps() -> None:
    setting = Setting()
    picture = theory_picture.overview(setting, forecast(setting, 0.25))
    figure, page = static.draw(picture), interactive.draw(picture)
    FigureCanvasAgg(figure).draw()
    over_shares = [ax for ax in figure.axes if "p_cot" in ax.get_xlabel()]
    assert len(over_shares) == 4
    for ax in over_shares:
        assert ax.get_xlim() == pytest.approx((0, 1))
    ranges = [page["wide"][f"xaxis{n}"].get("range") for n in ("", 2, 3, 4)]
    assert ranges == [pytest.approx([0, 1])] * 4

    legend = figure.legends[0]
    assert figure.bbox.x0 <= legend.get_window_extent().x0
    assert legend.get_window_extent().x1 <= figure.bbox.x1
    samples = {text.get_text(): line for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)}
    assert samples["greedy turns long"].get_color() == "black"
    assert (samples["this setting"].get_marker(), samples["this setting"].get_color()) == ("o", "white")
    assert {"greedy", "sampled", "p_cot of this setting"} < set(samples)
    entries = [trace["name"] for trace in page["data"] if trace.get("name") and trace.get("showlegend", True)]
    entries += [shape["name"] for shape in page["wide"]["shapes"] if shape["showlegend"]]
    assert set(entries) == set(samples)
    assert len(entries) == len(samples)


def test_the_map_of_temperatures_has_a_line_at_temperature_1() -> None:
    panel = overview(Setting(temperature=2.0), 0.25)["Samples, K = 2: calibrated at temperature 1"]
    (line,) = [line for line in panel.lines if line.name == "temperature 1"]
    assert (line.kind, line.x, line.values) == ("reference", (0, 1), ((1, 1),))
    figure = static.draw(Picture("one", "", (), (panel,)))
    dotted = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":"]
    assert [np.asarray(line.get_ydata()).tolist() for line in dotted] == [[1, 1]]


def test_what_is_drawn_over_the_map_of_temperatures_is_where_the_share_is() -> None:
    panel = overview(Setting(), 0.25)["Samples, K = 2: calibrated at temperature 1"]
    for line in panel.lines:
        if line.kind == "reference" and line.name != "temperature 1":
            for p, temperature in list(zip(line.x, line.values[0], strict=True))[::20]:
                share = closed_forms.sampled_long_share(p, 2, temperature)
                assert share == pytest.approx(float(line.name), abs=0.01) or p in (SHARES[0], SHARES[-1])


@pytest.mark.parametrize("temperature", [0.05, 1.0, 10.0])
def test_the_setting_s_own_temperature_is_on_the_axis(temperature: float) -> None:
    panels = overview(Setting(temperature=temperature), 0.25)
    (panel,) = [one for one in panels.values() if isinstance(one, Map) and one.row_label == "temperature"]
    low, high = float(panel.rows[0]), float(panel.rows[-1])
    assert low <= temperature * (1 + 1e-9)
    assert temperature <= high * (1 + 1e-9)


@pytest.mark.parametrize("ending", ["png", "pdf", "html"])
def test_the_figure_is_written_for_print_and_as_a_page(ending: str, tmp_path: Path) -> None:
    setting = Setting(q=0.3, reward="chain")
    file = theory_picture.write(tmp_path / f"theory.{ending}", setting, forecast(setting, 0.25))
    assert file.stat().st_size > 5000
    with pytest.raises(ValueError, match=r"its name must end in \.png, \.pdf or \.html"):
        theory_picture.write(tmp_path / "theory.svg", setting, forecast(setting, 0.25))
