"""The reference beside measured curves: made from theory and the schedule alone, and drawn only where it applies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from chainlift.learning.presets import PRESETS
from chainlift.report.figures import charts, curves, run_figures
from chainlift.report.figures.reference import PLAIN, references
from chainlift.report.record import Record
from chainlift.theory import star
from chainlift.theory.mean_field import REFERENCE_STEP, policy_gradient_curve
from chainlift.theory.mode_policy import ModePolicy, Setting

PRETRAIN = {"kind": "ntp", "title": "next-token prediction", "unit": "demonstrations", "start": None}
POSTTRAIN = {
    "kind": "rl",
    "title": "reinforcement learning",
    "unit": "sampled responses",
    "start": "pretrain",
    "algorithm": "grpo",
    "reward": "end_to_end",
    "temperature": 1.0,
    "lr": 2e-4,
    "group_size": 4,
    "prompts": 16,
    "steps_per_round": None,
    "aggregate": None,
    "kl": 0.0,
    "restart": False,
}


def mode(accuracy: float) -> dict[str, Any]:
    return {"accuracy": accuracy, "length_median": 1, "long_share": 0.25}


def record(updates: int = 6, per_round: int = 1, **posttrain: Any) -> Record:
    evaluation = {"kind": "evaluation", "step": 0, "sequences": 0, "greedy": mode(0.5), "sampled": mode(0.6)}
    rows = [{"stage": stage, **evaluation} for stage in ("pretrain", "posttrain")]
    for step in range(1, updates + 1):
        number = (step - 1) // per_round + 1
        lr = 2e-4 if step <= 3 else 1e-4
        row = {"stage": "posttrain", "kind": "update", "step": step, "round": number, "sequences": 64 * number}
        rows.append(row | {"lr": lr})
    levels = dict.fromkeys(("greedy_accuracy", "sampled_accuracy", "greedy_length_median"))
    known = {"pretrain": levels, "posttrain": {"sampled_long_share": 1.0, **levels}}
    theory = {"sampled_long_share": 0.25, **levels, "rl": known["posttrain"], "stages": known}
    recipe = {"name": "x", "task": {"name": "running_sum", "modulus": 2, "d": 8}, "model": {"family": "gpt2"}}
    settings = POSTTRAIN | {"steps_per_round": per_round} | posttrain
    stages = {"pretrain": PRETRAIN, "posttrain": settings}
    return Record(Path("nowhere"), recipe | {"stages": stages}, {}, rows, [], {"theory": theory})


def test_a_policy_gradient_follows_the_schedule_at_the_stated_step() -> None:
    found = {(one.mode, one.quantity): one for one in references(record())}
    setting = Setting(d=8)
    steps = [REFERENCE_STEP] * 3 + [REFERENCE_STEP / 2] * 3
    start = ModePolicy.after_pretraining(0.25, setting)
    expected = policy_gradient_curve(start, setting, PRESETS["grpo"], steps, group_size=4, prompts=16)
    share = found["sampled", "long_share"]
    assert share.values == expected.long_share
    assert share.sequences == [0, 64, 128, 192, 256, 320, 384]
    assert not share.by_round
    assert "0.1 log-odds" in share.name
    assert found["sampled", "accuracy"].values == expected.accuracy
    assert found["greedy", "accuracy"].values == expected.greedy_accuracy


def test_star_goes_by_rounds() -> None:
    found = references(record(updates=12, per_round=4, algorithm="star", group_size=1, restart=True))
    share = next(one for one in found if one.quantity == "long_share")
    assert share.by_round
    assert share.sequences == [0, 64, 128, 192]
    assert share.values == pytest.approx([star.star_share_after(0.25, n, 2) for n in range(4)])


DEPARTURES = [
    {"advantage": "none"},
    {"ratio": "none"},
    {"clip": "none"},
    {"clip_low": 0.1},
    {"clip_high": 0.3},
    {"aggregate": "token_mean"},
    {"kl": 0.1},
    {"length_penalty": 0.1},
    {"dynamic_sampling": True},
    {"minibatches": 2},
    {"restart": True},
    {"ntp_weight": 0.1},
    {"algorithm": "new"},
]


@pytest.mark.parametrize("changed", DEPARTURES, ids=str)
def test_a_recipe_that_the_reference_does_not_describe_has_none(changed: dict[str, Any]) -> None:
    assert references(record()) != []
    assert references(record(**changed)) == []


def test_every_departure_is_tried() -> None:
    assert {key for changed in DEPARTURES for key in changed} == {*PLAIN, "algorithm"}


def test_temperature_reward_and_rounds_reach_the_curve() -> None:
    found = references(record(updates=6, per_round=3, temperature=1.5, reward="chain", algorithm="dr_grpo"))
    setting = Setting(d=8, temperature=1.5, reward="chain")
    steps = [REFERENCE_STEP] * 3 + [REFERENCE_STEP / 2] * 3
    start = ModePolicy.after_pretraining(0.25, setting)
    told = policy_gradient_curve(start, setting, PRESETS["dr_grpo"], steps, group_size=4, prompts=16, steps_per_round=3)
    share = next(one for one in found if one.quantity == "long_share")
    assert share.values == told.long_share
    plain = policy_gradient_curve(start, Setting(d=8), PRESETS["dr_grpo"], steps, group_size=4, prompts=16)
    assert share.values != plain.long_share


def test_other_tasks_models_and_unfinished_runs_have_none() -> None:
    whole = record()
    assert references(replace(whole, summary=None)) == []
    assert references(replace(whole, rows=whole.of("posttrain", "evaluation"))) == []
    for key, value in (("task", {"name": "riddle"}), ("model", {"stop_degree": 1}), ("stages", {"pretrain": PRETRAIN})):
        assert references(replace(whole, recipe=whole.recipe | {key: value})) == []


def test_figure_chart_and_csv_show_it_in_the_panel_of_rl_only() -> None:
    whole = record()
    name = references(whole)[0].name
    figure = run_figures.lift(whole)
    drawn = [[line for line in ax.get_lines() if line.get_label() == "noise-free reference"] for ax in figure.axes]
    assert [len(lines) for lines in drawn] == [0, 2, 0, 0, 0, 1]
    FigureCanvasAgg(figure).draw()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1
    share = references(whole)[0]
    assert np.asarray(drawn[5][0].get_ydata()).tolist() == share.values
    shown = [trace for trace in charts.lift(whole).to_plotly_json()["data"] if trace["name"] == "reference"]
    assert len(shown) == 3
    assert sum(bool(trace["showlegend"]) for trace in shown) == 1
    rows = [row for row in curves.lift_table(whole) if row["curve"] == f"{name}, sampled"]
    assert [row["value"] for row in rows if row["quantity"] == "long_share"] == share.values
    assert {row["panel"] for row in rows} == {"posttrain"}
