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
from chainlift.report import results_document
from chainlift.report.claim_table import claim_lines, markdown
from chainlift.report.terminal import Reporter
from chainlift.sweep import claims, registry, scaling_claim
from chainlift.sweep import reproduce as reproducing
from chainlift.sweep.claims import Claim, Outcome, by_seed
from chainlift.sweep.grid import Finished, cross
from chainlift.sweep.kinds import AnyRecipe
from chainlift.sweep.launchers import Options
from tests.conftest import chainlift
from tests.sweep.test_local import SMALL as TINY

SMALL = ("task.d=6", "pretrain.steps=300", "evaluate.every=300", "evaluate.prompts=256")


def runs(seeds: Sequence[int], quick: bool = False) -> list[AnyRecipe]:
    return cross("linear-ntp", {"mixture.p_cot": [0.2, 0.5]}, seeds, *SMALL)


def check(finished: list[Finished]) -> list[Finding]:
    shares = by_seed(finished, lambda run: run.summary["pretrain"]["exact_long_share"], "mixture.p_cot")
    return [Finding("long share", f"p_cot {p:g}", values, p, 0.05, x=p) for p, values in shares.items()]


CLAIM = Claim("small", "the long share is p_cot", runs, check)


def reproduce(claim: Claim, out: Path, *, quick: bool = False, quiet: bool = True) -> Outcome:
    found: list[Outcome] = []
    options = Options(workers=2, threads=1)
    reporter = Reporter(quiet=quiet)
    assert reproducing.reproduce([claim], out, reporter, options, seeds=[0, 1], quick=quick, tell=found.append) == []
    return found[0]


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
    told = json.loads((tmp_path / "claims/small.json").read_text())
    assert told["verdict"] == "holds"
    assert told["seeds"] == [0, 1]
    assert told["findings"][0]["values"] == list(outcome.findings[0].values)
    assert (tmp_path / "claims/small.md").read_text() == markdown(outcome.findings)
    (picture,) = outcome.pictures
    assert [panel.title for panel in picture.panels] == ["long share"]
    assert told["pictures"] == [picture.as_dict()]
    assert (tmp_path / "claims/small.png").stat().st_size > 5000
    table = (tmp_path / "claims/small.csv").read_text().splitlines()
    assert table[0] == "panel,line,seed,x,y"
    assert len(table) == 1 + 2 + 4  # two predictions, and two seeds at two places
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/metrics.jsonl")}
    wrong = replace(CLAIM, check=lambda found: [replace(line, predicted=0.9) for line in check(found)])
    again = reproduce(wrong, tmp_path)
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
    reproduce(CLAIM, tmp_path)
    failing = replace(
        CLAIM, name="wrong", check=lambda found: [replace(line, predicted=0.9, x=None) for line in check(found)]
    )
    reproduce(failing, tmp_path)
    document = tmp_path / "docs/results.md"
    assert results_document.write(document, tmp_path / "claims", ["wrong", "absent", "small"]) == ["wrong", "small"]
    text = document.read_text()
    row = "| [wrong](#wrong-fails-in-2-of-2-lines) | the long share is p_cot | fails in 2 of 2 lines | 0-1 | 4 |"
    assert row in text
    assert "## small: holds" in text
    assert "chainlift reproduce small --seeds 0-1" in text
    assert "| long share, p_cot 0.2 | 0.2 |" in text
    assert "![the long share is p_cot](img/small.png)" in text
    assert "img/wrong.png" not in text
    assert (document.parent / "img/small.png").stat().st_size > 5000
    made = r"4 runs, made with chainlift 0.* torch .*, 1 thread a run on cpu: .* cores\. Judged \d{4}-\d\d-\d\d with "
    assert re.search(made + r".*\. A run trained for \d+ s", text)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write"):
        results_document.write(tmp_path / "file/results.md", tmp_path / "claims", ["small"])


def test_a_document_keeps_what_is_not_at_hand(tmp_path: Path, finished: Path) -> None:
    document = tmp_path / "docs/results.md"
    for claim, out in ((CLAIM, "one"), (replace(CLAIM, name="other", statement="another claim"), "two")):
        reproduce(claim, tmp_path / out)
        results_document.write(document, tmp_path / out / "claims", ["other", "small"])
    text = document.read_text()
    assert text.count("## small: holds") == text.count("## other: holds") == 1
    assert text.index("[other](#other-holds)") < text.index("[small](#small-holds)")
    reproduce(CLAIM, tmp_path / "one", quick=True)
    results_document.write(document, tmp_path / "one/claims", ["other", "small"])
    with_quick = document.read_text()
    assert with_quick.startswith(text)
    assert "## At quick sizes\n\n    chainlift reproduce --all --quick\n" in with_quick
    assert results_document.write_run(document, finished) == "small"
    summary = json.loads((finished / "summary.json").read_text())
    low, high = summary["posttrain"]["greedy_accuracy_ci95"]
    whole = document.read_text()
    assert whole.startswith(with_quick)
    assert f"{summary['posttrain']['greedy_accuracy']:.3f} [{low:.3f}, {high:.3f}]" in whole.partition("### small")[2]
    assert (tmp_path / "docs/img/run-small.png").stat().st_size > 5000
    for out in ("two", "one"):  # everything again, in another order
        results_document.write(document, tmp_path / out / "claims", ["other", "small"])
    results_document.write_run(document, finished)
    assert document.read_text() == whole


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
    assert outcome.num_runs == 10
    assert len(outcome.findings) == 3 * 4 + 2 + 1
    held = [finding.holds for finding in outcome.findings]
    assert held.count(True) >= 12
    threshold = next(line for line in outcome.findings if line.quantity.startswith("threshold, from log-odds"))
    assert threshold.mean == pytest.approx(0.5, abs=0.01)
    assert json.loads((tmp_path / "claims/quick/linear-degree.json").read_text())["quick"] is True


@pytest.mark.slow
def test_a_claim_whose_runs_fail_claims_nothing(tmp_path: Path) -> None:
    def broken(seeds: Sequence[int], quick: bool = False) -> list[AnyRecipe]:
        return cross("tiny", {"pretrain.lr": [1e-3, 1e12]}, seeds, *TINY, "pretrain.clip_norm=1e12", "posttrain=null")

    options, told = Options(workers=2, threads=1), list[Outcome]()
    bad = replace(CLAIM, runs=broken)
    failed = reproducing.reproduce([bad], tmp_path, Reporter(quiet=True), options, seeds=[0, 1], tell=told.append)
    assert (failed, told) == (["small"], [])
    assert not (tmp_path / "claims").exists()


@pytest.mark.slow
def test_a_check_with_a_bug_does_not_take_the_other_claims_away(tmp_path: Path) -> None:
    def buggy(finished: list[Finished]) -> list[Finding]:
        raise KeyError("absent")

    options, told = Options(workers=2, threads=1), list[Outcome]()
    chosen = [replace(CLAIM, name="buggy", check=buggy), CLAIM]
    failed = reproducing.reproduce(chosen, tmp_path, Reporter(quiet=True), options, seeds=[0, 1], tell=told.append)
    assert failed == ["buggy"]
    assert [outcome.claim.name for outcome in told] == ["small"]
    assert "KeyError: 'absent'" in (tmp_path / "claims/buggy.error.txt").read_text()
    mended = replace(CLAIM, name="buggy")
    assert not reproducing.reproduce([mended], tmp_path, Reporter(quiet=True), options, seeds=[0, 1])
    assert (tmp_path / "claims/buggy.json").exists()
    assert not (tmp_path / "claims/buggy.error.txt").exists()


def test_why_a_quick_claim_could_not_be_judged_stands_with_the_quick_ones(tmp_path: Path) -> None:
    file = claims.keep_error(CLAIM, KeyError("absent"), tmp_path, quick=True)
    assert file == tmp_path / "claims/quick/small.error.txt"


@pytest.mark.parametrize(("content", "told"), [('{"claim": ', "is damaged"), ('{"claim": "small"}', "lacks statement")])
def test_a_claim_file_that_cannot_be_used_is_one_line(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text(content)
    (tmp_path / "small.md").write_text("| table |\n")
    with pytest.raises(ValueError, match=told) as caught:
        results_document.write(tmp_path / "results.md", tmp_path, ["small"])
    assert "chainlift reproduce small" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


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
