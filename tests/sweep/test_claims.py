"""A claim from its runs to its verdict, with real runs at a small size; a wrong prediction is told as failed."""

import io
import itertools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chainlift.measure.finding import Finding
from chainlift.recipe import Recipe
from chainlift.report import results_document
from chainlift.report.claim_figure import claim_figure
from chainlift.report.claim_table import claim_lines, markdown
from chainlift.report.terminal import Reporter
from chainlift.sweep import claims, grid, linear_claims, registry, scaling_claim
from chainlift.sweep.claims import Claim, by_seed
from chainlift.sweep.grid import Finished, cross
from tests.conftest import chainlift

SMALL = ("task.d=6", "pretrain.steps=300", "evaluate.every=300", "evaluate.prompts=256")


def runs(seeds: Sequence[int]) -> list[Recipe]:
    return cross("linear-ntp", {"mixture.p_cot": [0.2, 0.5]}, seeds, *SMALL)


def check(finished: list[Finished]) -> list[Finding]:
    shares = by_seed(finished, lambda run: run.summary["pretrain"]["exact_long_share"], "mixture.p_cot")
    return [Finding("long share", f"p_cot {p:g}", values, p, 0.05, x=p) for p, values in shares.items()]


CLAIM = Claim("small", "the long share is p_cot", runs, check)


def test_the_cross_product_is_whole_and_seed_by_seed() -> None:
    found = cross("linear-ntp", {"task.d": [4, 5], "mixture.p_cot": [0.1, 0.2]}, [3, 4], "pretrain.steps=7")
    assert [(one.seed, getattr(one.task, "d"), one.mixture.p_cot) for one in found] == [  # noqa: B009
        (seed, d, p) for seed in (3, 4) for d in (4, 5) for p in (0.1, 0.2)
    ]
    assert {one.pretrain.steps for one in found} == {7}
    assert len({one.run_id for one in found}) == len(found)


def test_a_claim_holds_and_what_is_done_is_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = claims.reproduce(CLAIM, [0, 1], tmp_path, Reporter())
    assert "4/4" in capsys.readouterr().err
    assert outcome.verdict == "holds"
    assert [len(finding.values) for finding in outcome.findings] == [2, 2]
    told = json.loads((tmp_path / "claims/small.json").read_text())
    assert told["verdict"] == "holds"
    assert told["seeds"] == [0, 1]
    assert told["findings"][0]["values"] == list(outcome.findings[0].values)
    assert (tmp_path / "claims/small.md").read_text() == markdown(outcome.findings)
    drawn = claim_figure(outcome.findings)
    assert drawn is not None
    assert [ax.get_title(loc="left") for ax in drawn.axes] == ["long share"]
    assert (tmp_path / "claims/small.png").stat().st_size > 5000
    assert claim_figure(outcome.findings[:1]) is None  # a point is no curve
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/metrics.jsonl")}
    wrong = replace(CLAIM, check=lambda found: [replace(line, predicted=0.9) for line in check(found)])
    again = claims.reproduce(wrong, [0, 1], tmp_path, Reporter())
    assert again.verdict == "fails in 2 of 2 lines"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/metrics.jsonl")} == before
    assert not list(tmp_path.glob("*/report.html"))


def test_the_table_tells_failures_and_mere_measurements() -> None:
    findings = [
        Finding("share", "p .1", (0.1, 0.12), 0.1, 0.01),
        Finding("exponent", "", (1.5,), note="one seed"),
    ]
    text = markdown(findings)
    assert "| share, p .1 | 0.1 | 0.11 [" in text
    assert "| 0.02 | 0.01 | FAILS |" in text
    assert "| exponent, one seed |  | 1.5 |  |  | measured |" in text
    lines = claim_lines(findings)
    assert max(map(len, lines)) <= 80
    assert lines[1:] == [
        "share",
        "  p .1                    0.1  0.11 [-0.01706, 0.2371]    0.02     0.01 FAILS",
        "exponent",
        "                               1.5                                      measured",
        "    one seed",
    ]


def test_what_is_infinite_is_null_in_json() -> None:
    findings = [Finding("rounds", "", (math.inf, 3.0), 3), Finding("threshold", "", (0.33,), 0.33, 0.01)]
    told = json.loads(json.dumps(claims.Outcome(CLAIM, [0, 1], findings, 2).as_dict(), allow_nan=False))
    assert told["findings"][0]["values"] == [None, 3]
    assert told["findings"][0]["holds"] is False
    assert told["findings"][1]["ci95"] == [None, None]
    assert told["findings"][1]["holds"] is True


@pytest.mark.parametrize(
    ("kept", "needed"),
    [
        ([False, False, True, True], math.sqrt(16 * 32)),
        ([True, False, True, True], math.sqrt(16 * 32)),  # a rung that keeps it by luck does not count
        ([True, True, True, True], 8),
        ([True, True, True, False], math.inf),
    ],
)
def test_the_ladder_is_read_from_its_top(kept: list[bool], needed: float) -> None:
    assert scaling_claim._first_kept([8, 16, 32, 64], kept) == pytest.approx(needed)


def test_half_right_is_interpolated_where_slips_are_rare() -> None:
    """q = exp(-c / steps) is 1/2 at c / log 2, wherever the rungs are."""
    for c in (20.0, 37.0):
        steps = [8, 16, 32, 64, 128]
        assert scaling_claim._half_right(steps, [math.exp(-c / n) for n in steps]) == pytest.approx(c / math.log(2))
    assert scaling_claim._half_right([8, 16], [0.1, 0.4]) == math.inf
    assert scaling_claim._half_right([8, 16], [0.6, 0.8]) == 8
    assert 8 < scaling_claim._half_right([8, 16], [0.0, 1.0]) < 16


def test_ladders_double_and_reach_far_enough() -> None:
    for d, p in ((10, 0.1), (30, 0.02), (1000, 0.1)):
        steps = scaling_claim.ladder(d, p)
        assert all(later == 2 * earlier for earlier, later in itertools.pairwise(steps))
        assert 0.8 * d / p <= steps[-1] < 1.6 * d / p


def test_the_document_holds_every_claim_that_has_results(tmp_path: Path) -> None:
    claims.reproduce(CLAIM, [0, 1], tmp_path, Reporter(quiet=True))
    failing = replace(
        CLAIM, name="wrong", check=lambda found: [replace(line, predicted=0.9, x=None) for line in check(found)]
    )
    claims.reproduce(failing, [0, 1], tmp_path, Reporter(quiet=True))
    document = tmp_path / "docs/results.md"
    assert results_document.write(document, tmp_path / "claims", ["wrong", "absent", "small"]) == ["wrong", "small"]
    text = document.read_text()
    assert (
        "| [wrong](#wrong-fails-in-2-of-2-lines) | the long share is p_cot | fails in 2 of 2 lines | 0-1 | 4 |" in text
    )
    assert "## small: holds" in text
    assert "chainlift reproduce small --seeds 0-1" in text
    assert "| long share, p_cot 0.2 | 0.2 |" in text
    assert "![the long share is p_cot](img/small.png)" in text
    assert "img/wrong.png" not in text
    assert (document.parent / "img/small.png").stat().st_size > 5000
    assert re.search(r"4 runs\. \d{4}-\d\d-\d\d, chainlift .*, torch .* CPUs\. A run trained for \d+ s", text)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write"):
        results_document.write(tmp_path / "file/results.md", tmp_path / "claims", ["small"])


@pytest.mark.parametrize("name", sorted(registry.CLAIMS))
def test_every_claim_lists_runs_without_a_double(name: str) -> None:
    ids = [one.run_id for one in registry.CLAIMS[name].runs([0, 1])]
    assert len(ids) == len(set(ids)) > 0
    assert chainlift("reproduce", name, "--dry-run", "--seeds", "0-1").stdout.count("\n") == len(ids)


@pytest.mark.slow
def test_a_shipped_claim_is_checked_whole_at_a_small_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """linear-degree with fewer points and steps: every line of its check is made, and most hold."""
    monkeypatch.setattr(linear_claims, "DEGREE_P", (0.42, 0.48, 0.52, 0.58))
    real = grid.cross

    def short(source: str, settings: dict[str, list[object]], seeds: list[int], *fixed: str) -> list[Recipe]:
        return real(source, settings, seeds, *fixed, "pretrain.steps=600", "evaluate.every=600")

    monkeypatch.setattr(linear_claims, "cross", short)
    outcome = claims.reproduce(registry.CLAIMS["linear-degree"], [0, 1], tmp_path, Reporter(quiet=True))
    assert outcome.num_runs == 10
    assert len(outcome.findings) == 3 * 4 + 2 + 1
    held = [finding.holds for finding in outcome.findings]
    assert held.count(True) >= 12
    threshold = next(line for line in outcome.findings if line.quantity.startswith("threshold, from log-odds"))
    assert threshold.mean == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["linear-npt"], "no claim 'linear-npt', did you mean 'linear-ntp'?"),
        (["linear-ntp", "--seeds", "x"], "--seeds"),
        (["linear-ntp", "--seeds", "3"], "at least two seeds"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], told: str, tmp_path: Path) -> None:
    done = chainlift("reproduce", *arguments, "--out", tmp_path / "runs")
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_without_a_name_the_claims_are_listed() -> None:
    lines = chainlift("reproduce").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(registry.CLAIMS)


def test_a_run_of_many_shows_how_far_it_is_and_nothing_else() -> None:
    out = io.StringIO()
    reporter = Reporter(brief=True, file=out)
    reporter.say("theory: ...")
    with reporter.stage("pretrain", 0, 100):
        reporter.update({"step": 1, "loss": 2.0})
        reporter._last_line -= 60  # as if a minute had gone by
        reporter.update({"step": 50, "loss": 1.0})
        reporter.update({"step": 100, "loss": 0.5})
    assert [line.split()[:2] for line in out.getvalue().splitlines()] == [["update", "50/100"]]
    assert "s left" in out.getvalue()
