"""A claim from its runs to its verdict, with real runs at a small size; a wrong prediction is told as failed."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from chainlift.claims import outcome as outcomes
from chainlift.claims import registry
from chainlift.claims.finished import Finished, cross
from chainlift.measure.finding import Finding
from chainlift.report.claim_outcome import Outcome, Seconds, read
from chainlift.report.terminal.claim_table import markdown
from chainlift.report.terminal.reporter import Reporter
from chainlift.stages.recipe import Recipe
from chainlift.sweep import reproduce as reproducing
from chainlift.sweep.launchers import Options
from tests.claims.small_claim import CHECK, CLAIM, reproduce
from tests.conftest import chainlift
from tests.sweep.test_local import SMALL as TINY


def test_the_cross_product_is_whole_and_seed_by_seed() -> None:
    found = cross("linear-ntp", {"task.d": [4, 5], "mixture.p_cot": [0.1, 0.2]}, [3, 4], "pretrain.steps=7")
    assert [(one.seed, one.setting("task.d"), one.mixture.p_cot) for one in found] == [
        (seed, d, p) for seed in (3, 4) for d in (4, 5) for p in (0.1, 0.2)
    ]
    assert {one.setting("pretrain.steps") for one in found} == {7}
    assert len({one.run_id for one in found}) == len(found)


def test_a_claim_holds_and_what_is_done_is_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = reproduce(CLAIM, tmp_path, quiet=False)
    assert "4/4" in capsys.readouterr().err
    assert outcome.verdict == "holds"
    assert [len(finding.values) for finding in outcome.findings] == [2, 2]
    told = json.loads((tmp_path / "claims/small.json").read_text(encoding="utf-8"))
    assert told["verdict"] == "holds"
    assert told["seeds"] == [0, 1]
    assert told["findings"][0]["values"] == list(outcome.findings[0].values)
    assert read(tmp_path / "claims/small.json") == outcome
    assert (tmp_path / "claims/small.md").read_text(encoding="utf-8") == markdown(outcome.findings)
    (picture,) = outcome.pictures
    assert [panel.title for panel in picture.panels] == ["long share"]
    assert told["pictures"] == [json.loads(json.dumps(asdict(picture)))]
    assert (tmp_path / "claims/small.png").stat().st_size > 5000
    table = (tmp_path / "claims/small.csv").read_text(encoding="utf-8").splitlines()
    assert table[0] == "panel,quantity,line,kind,seed,x,y,low,high"
    assert len(table) == 1 + 2 + 4  # two predictions, and two seeds at two places
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/metrics.jsonl")}
    wrong = replace(CLAIM, checks=(replace(CHECK, predicted=0.9),))
    again = reproduce(wrong, tmp_path)
    assert again.verdict == "fails in 2 of 2 lines"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/metrics.jsonl")} == before
    assert not list(tmp_path.glob("*/report.html"))


def test_what_is_infinite_is_null_in_json() -> None:
    findings = [Finding("rounds", "", (math.inf, 3.0), 3), Finding("threshold", "", (0.33,), 0.33, 0.01)]
    made = {"pictures": [], "date": "2026-11-28", "seconds": Seconds(1, 1, 2), "made_on": [], "judged_on": {}}
    outcome = Outcome("small", "it holds", [0, 1], 2, False, findings, **made)
    told = json.loads(json.dumps(outcome.as_dict(), allow_nan=False))
    assert told["findings"][0]["values"] == [None, 3]
    assert told["findings"][0]["holds"] is False
    assert told["findings"][1]["ci95"] == [None, None]
    assert told["findings"][1]["holds"] is True


@pytest.mark.parametrize("name", sorted(registry.CLAIMS))
def test_every_claim_lists_runs_without_a_double_and_fewer_quick_ones(name: str) -> None:
    claim = registry.CLAIMS[name]
    assert len(claim.seeds) >= 3
    whole, quick = ([one.run_id for one in claim.runs(claim.seeds, quick)] for quick in (False, True))
    assert len(whole) == len(set(whole)) > 0
    assert 0 < len(quick) == len(set(quick)) <= len(whole)
    assert set(whole) != set(quick)


def test_a_dry_run_tells_what_it_would_cost(tmp_path: Path) -> None:
    told = chainlift(
        "reproduce", "linear-degree", "--quick", "--dry-run", "--out", tmp_path / "runs"
    ).stdout.splitlines()
    assert re.fullmatch(r"linear-degree: 15 of 15 runs to do, about \S+ (s|min) on one worker", told[0])
    assert len(told) == 2 + 5 * 3
    assert re.fullmatch(r".*/linear-degree-\w{8}-s0  about \S+ (s|min)", told[1])
    assert re.fullmatch(r"15 of 15 runs to do, about \S+ (s|min) on one worker, at least \S+ (s|min) on 2", told[-1])
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_shipped_claim_is_checked_whole_at_its_quick_size(tmp_path: Path) -> None:
    """linear-degree: every line of its check is made, and most hold."""
    outcome = reproduce(registry.CLAIMS["linear-degree"], tmp_path, quick=True)
    assert outcome.runs == 10
    assert len(outcome.findings) == 3 * 4 + 2 + 1
    held = [finding.holds for finding in outcome.findings]
    assert held.count(True) >= 12
    threshold = next(line for line in outcome.findings if line.quantity.startswith("threshold, from log-odds"))
    assert threshold.mean == pytest.approx(0.5, abs=0.01)
    assert json.loads((tmp_path / "claims/quick/linear-degree.json").read_text(encoding="utf-8"))["quick"] is True


@pytest.mark.slow
@pytest.mark.smoke
def test_a_claim_whose_runs_fail_claims_nothing(tmp_path: Path) -> None:
    def broken(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
        return cross(
            "tiny", {"pretrain.lr": [1e-3, 1e12]}, seeds, *TINY, "pretrain.max_grad_norm=1e12", "posttrain=null"
        )

    options, told = Options(workers=2, threads=1), list[Outcome]()
    bad = replace(CLAIM, runs=broken)
    quiet = Reporter(quiet=True)
    failed = reproducing.reproduce([bad], tmp_path, quiet, options, seeds=[0, 1], on_outcome=told.append)
    assert (failed, told) == (["small"], [])
    assert not (tmp_path / "claims").exists()


@pytest.mark.slow
def test_a_check_with_a_bug_does_not_take_the_other_claims_away(tmp_path: Path) -> None:
    def buggy(finished: Sequence[Finished]) -> list[Finding]:
        raise KeyError("absent")

    options, told = Options(workers=2, threads=1), list[Outcome]()
    chosen = [replace(CLAIM, name="buggy", checks=(buggy,)), CLAIM]
    quiet = Reporter(quiet=True)
    failed = reproducing.reproduce(chosen, tmp_path, quiet, options, seeds=[0, 1], on_outcome=told.append)
    assert failed == ["buggy"]
    assert [outcome.claim for outcome in told] == ["small"]
    assert "KeyError: 'absent'" in (tmp_path / "claims/buggy.error.txt").read_text(encoding="utf-8")
    mended = replace(CLAIM, name="buggy")
    assert not reproducing.reproduce([mended], tmp_path, Reporter(quiet=True), options, seeds=[0, 1])
    assert (tmp_path / "claims/buggy.json").exists()
    assert not (tmp_path / "claims/buggy.error.txt").exists()


def test_why_a_quick_claim_could_not_be_judged_stands_with_the_quick_ones(tmp_path: Path) -> None:
    file = outcomes.keep_error(CLAIM, KeyError("absent"), tmp_path, quick=True)
    assert file == tmp_path / "claims/quick/small.error.txt"


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
