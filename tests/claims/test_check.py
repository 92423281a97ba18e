"""Rows of a claim's table on made-up runs, claims by their folders, and outcomes that are read as they were written."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from chainlift.claims import GO_ON, P_COT, RL_UPDATES, Axis, Check, Claim, Grid, P, Threshold, having, registry
from chainlift.claims.check import findings
from chainlift.claims.finished import Finished, by_seed, cross
from chainlift.measure.finding import Finding
from chainlift.report.claim_outcome import Outcome, Seconds, read
from chainlift.report.figures.picture import Line, Lines, Map, Mark, Picture
from chainlift.stages import recipe as recipes

CLAIMS = Path(registry.__file__).parent


class Run(Finished):
    """A run with two evaluations."""

    def evaluations(self, stage: str) -> list[dict[str, Any]]:
        seed = self.recipe.seed
        return [{"step": step, "greedy": {"accuracy": 0.1 * seed + step / 100}} for step in (0, 20)]


def runs(seeds: tuple[int, ...] = (1, 0), shares: tuple[float, ...] = (0.5, 0.2)) -> list[Finished]:
    """Runs of the linear model, in no order, that measured p_cot + seed / 100."""
    made = []
    for recipe in cross("linear-ntp", {P: shares}, seeds):
        value = recipe.mixture.last + recipe.seed / 100
        made.append(
            Run(recipe, {"pretrain": {"exact_long_share": value, "length": 3, "greedy_long_share": 0.0}}, Path())
        )
    return made


def test_a_row_over_a_setting_gives_a_finding_for_each_place_with_a_value_for_each_seed() -> None:
    lines = Check("long share", "exact_long_share", lambda at: at.p, 0.1, axis=P_COT)(runs())
    assert [(line.setting, line.x, line.values, line.predicted) for line in lines] == [
        ("p_cot 0.2", 0.2, pytest.approx((0.2, 0.21)), 0.2),
        ("p_cot 0.5", 0.5, pytest.approx((0.5, 0.51)), 0.5),
    ]
    assert {(line.axis, line.series, line.share, line.tolerance) for line in lines} == {("p_cot", "", True, 0.1)}


def test_a_row_without_an_axis_is_of_all_runs_or_of_each_series() -> None:
    (line,) = Check("length", "length", 3.0)(runs(shares=(0.2,)))
    assert line == Finding("length", "", (3.0, 3.0), 3.0)
    lines = Check("length", "length", series="p {recipe.mixture.last:g}")(runs())
    assert [(line.setting, line.series, line.x) for line in lines] == [("p 0.5", "", None), ("p 0.2", "", None)]


def test_a_row_over_evaluations_and_one_of_a_function_that_gives_several_values() -> None:
    some = runs(shares=(0.2,))
    during = Check("accuracy", "greedy.accuracy", lambda at: 0.3 if at.x else None, stage="posttrain", axis=RL_UPDATES)
    start, end = during(some)
    assert (start.setting, start.values, start.predicted) == ("0 updates", (0.0, 0.1), None)
    assert (end.setting, end.values, end.predicted, end.axis) == (
        "20 updates",
        (0.2, pytest.approx(0.3)),
        0.3,
        "RL updates",
    )
    later = Axis("updates", "{x} updates", evaluations="step", from_start=False)
    assert [line.x for line in Check("accuracy", "greedy.accuracy", axis=later)(some)] == [20]
    both = Check(
        "pass@k", lambda run: {1: 0.5, 2: 0.75}, axis=Axis("k", "{series}, k {x}"), series="before", share=True
    )
    assert [(line.setting, line.values, line.share) for line in both(some)] == [
        ("before, k 1", (0.5, 0.5), True),
        ("before, k 2", (0.75, 0.75), True),
    ]


def test_only_the_runs_of_a_row_count_and_each_place_needs_every_seed() -> None:
    (line,) = Check("long share", "exact_long_share", axis=P_COT, where=having(P, 0.5))(runs())
    assert line.x == 0.5
    assert Check("long share", "exact_long_share", where=having(P, 0.3))(runs()) == []
    assert Threshold(1 / 3, 0.1, where=having(P, 0.3))(runs()) == []
    with pytest.raises(ValueError, match="long share: not every seed was measured at every place"):
        Check("long share", "exact_long_share", axis=P_COT)(runs()[1:])


def test_what_a_summary_does_not_define_fails_where_something_is_predicted() -> None:
    some = runs(shares=(0.2,))
    some[0].summary["pretrain"]["length"] = None
    (line,) = Check("length", "length", 3.0, math.inf)(some)
    assert math.isnan(line.values[1])
    assert line.holds is False


def test_a_threshold_needs_log_odds_that_rise() -> None:
    some = runs()
    for run in some:
        run.summary["pretrain"] |= {GO_ON: 10 * (run.recipe.mixture.last - 0.35)}
    odds, flips = Threshold(0.35, 0.02)(some)
    assert odds.quantity == "threshold, from log-odds of going on"
    assert odds.holds
    assert "bootstrap over seeds" in flips.note


def test_quantities_stand_side_by_side() -> None:
    rows = tuple(Check(name, "length") for name in ("a", "b", "a"))
    assert [line.quantity for line in findings(rows, runs(shares=(0.2,)))] == ["a", "a", "b"]


def test_smaller_runs_of_a_grid() -> None:
    grid = Grid("linear-ntp", {P: (0.1, 0.2)}, ("task.d=6",), ("pretrain.steps=7",), {P: (0.3,)})
    (quick,) = grid([0], quick=True)
    assert (quick.mixture.last, quick.setting("task.d"), quick.setting("pretrain.steps")) == (0.3, 6, 7)
    assert [one.mixture.last for one in grid([0])] == [0.1, 0.2]
    assert Grid("linear-ntp", quick=None)([0], quick=True) == []


def test_a_claim_is_known_by_its_folder_and_so_is_its_recipe() -> None:
    folders = {file.parent for file in CLAIMS.glob("*/claim.py")}
    assert {folder.name.replace("_", "-") for folder in folders} == set(registry.CLAIMS)
    orders = [claim.order for claim in registry.CLAIMS.values()]
    assert orders == sorted(set(orders)), "two claims with one place"
    with_recipes = {file.parent for file in CLAIMS.glob("*/recipe.yaml")}
    assert with_recipes <= folders
    for folder in with_recipes:
        name = folder.name.replace("_", "-")
        assert recipes.load(name).name == name
        assert any(recipe.name == name for recipe in registry.CLAIMS[name].runs((0,)))


def test_no_file_of_a_claim_is_long() -> None:
    for file in CLAIMS.glob("*/*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 120, file


def test_an_outcome_is_read_as_it_was_written(tmp_path: Path) -> None:
    lines = Lines(
        "growth", "x", "y", (Line("star", (1.0, 2.0), ((1.0, 2.0), (3.0, 4.0))),), (Mark(1.5, "here", "event"),),
        y_range=(0.0, 1.0),
    )  # fmt: skip
    cells = Map("plane", "K", "p", ("2",), ("0.1",), (((0.5,),), ((0.25,),)), "share", (0.0, 1.0))
    line = Finding("share", "p_cot 0.2", (0.2, 0.21), 0.2, 0.1, "at_least", "a note", x=0.2, series="s", share=True)
    outcome = Outcome(
        claim="small", statement="it holds", seeds=[0, 1], runs=2, quick=True, findings=[line],
        pictures=[Picture("small", "Small", (0, 1), (lines, cells))], date="2026-11-28", seconds=Seconds(1.5, 2.0, 3.0),
        made_on=[{"runs": 2, "device": "cpu"}], judged_on={"commit": None},
    )  # fmt: skip
    file = tmp_path / "small.json"
    outcome.write(file)
    assert read(file) == outcome
    content = json.loads(file.read_text(encoding="utf-8"))
    assert (content["verdict"], content["findings"][0]["holds"]) == ("holds", True)
    del content["findings"][0]["check"]  # as another version wrote it
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"small\.json is damaged; `chainlift reproduce small` writes it again"):
        read(file)


def test_what_was_not_measured_is_read_as_not_a_number(tmp_path: Path) -> None:
    curve = Lines("growth", "x", "y", (Line("star", (1.0,), ((math.nan,),)),))
    flips = Finding("rounds to flip", "", (math.inf, 3.0), 3)
    outcome = Outcome(
        "small", "it flips", [0, 1], 2, False, [flips], [Picture("small", "Small", (0,), (curve,))], "2026-11-28",
        Seconds(1, 1, 2), [], {},
    )  # fmt: skip
    outcome.write(tmp_path / "small.json")
    again = read(tmp_path / "small.json")
    assert math.isnan(again.findings[0].values[0])
    assert again.verdict == outcome.verdict == "fails in 1 of 1 lines"
    (panel,) = again.pictures[0].panels
    assert isinstance(panel, Lines)
    assert math.isnan(panel.lines[0].values[0][0])


def test_a_claim_lists_its_findings_row_by_row() -> None:
    rows = (Check("length", "length", 3.0), Check("long share", "exact_long_share", axis=P_COT))
    claim = Claim("small", "it holds", Grid("linear-ntp"), rows)
    assert [line.quantity for line in claim.check(runs())] == ["length", "long share", "long share"]
    assert claim.in_all
    assert claim.pictures(runs()) == []


def test_values_of_a_setting_stand_in_the_order_of_seeds() -> None:
    found = by_seed(runs(seeds=(2, 0, 1), shares=(0.5, 0.2)), lambda run: float(run.recipe.seed), P)
    assert found == {0.2: (0.0, 1.0, 2.0), 0.5: (0.0, 1.0, 2.0)}
    assert list(found) == [0.2, 0.5]
