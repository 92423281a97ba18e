import json
from pathlib import Path
from typing import Any

import pytest

from chainlift.runs.store import read_rows
from chainlift.stages.kinds.ntp import enough_steps
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings
from tests.conftest import chainlift

MEASURED = {
    "greedy_accuracy",
    "greedy_accuracy_ci95",
    "greedy_length_median",
    "sampled_accuracy",
    "sampled_accuracy_ci95",
    "sampled_long_share",
    "sampled_long_share_ci95",
    "tokens",
    "seconds",
    "prompts",
}

FRESHNESS = ("prompts_held_out", "prompts_different", "prompts_seen_share")


def summary_of(stdout: str) -> dict[str, Any]:
    return json.loads(stdout.splitlines()[-1])


def test_the_summary_keeps_the_contract(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    stages = {"pretrain", "posttrain", "continued_pretrain"}
    assert {"recipe", "run_id", "seed", "theory", "stages", *stages, *FRESHNESS} == set(summary)
    assert [summary[key] for key in FRESHNESS] == [False, 16, pytest.approx(1.0)]
    assert {"kind", "sequences", "steps"} | MEASURED <= set(summary["pretrain"])
    assert {"kind", "algorithm", "steps", "rollouts"} | MEASURED <= set(summary["posttrain"])
    assert {"kind", "sequences", "steps"} | MEASURED <= set(summary["continued_pretrain"])
    assert summary["pretrain"]["sequences"] == 40 * 16
    assert summary["posttrain"]["rollouts"] == 20 * 8 * 4
    assert summary["theory"]["sampled_accuracy"] == pytest.approx(0.625)
    assert summary["theory"]["greedy"] == "short"


def test_the_folder_keeps_the_contract(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    files = {
        "recipe.yaml",
        "environment.json",
        "metrics.jsonl",
        "rollouts.jsonl",
        "summary.json",
        "DONE",
        "report.html",
    }
    assert files | {"checkpoints", "figures"} <= names
    assert {path.name.rsplit("-", 1)[0] for path in (finished / "checkpoints").iterdir()} == {
        "pretrain",
        "posttrain",
        "continued_pretrain",
    }
    for checkpoint in (finished / "checkpoints").iterdir():
        assert {path.suffix for path in checkpoint.iterdir()} == {".json", ".safetensors"}, "nothing is pickled"


def test_the_baseline_processes_at_least_the_tokens_of_rl(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    assert summary["continued_pretrain"]["tokens"] >= summary["posttrain"]["tokens"]
    # A prompt of 4 tokens and at least one output token each; where trained on, the same again.
    assert summary["posttrain"]["tokens"] > summary["posttrain"]["rollouts"] * 5


def test_the_baselines_schedule_is_made_for_enough_steps() -> None:
    """16 demonstrations have 16 (4 + .25 x 4 + .75 x 1 + 1) = 108 tokens on average."""
    task = RunningSum(RunningSumSettings(d=4))
    assert [enough_steps(task, MixtureSettings(p_cot=0.25), 16, tokens) for tokens in (1, 108, 109, 216)] == [
        1,
        1,
        2,
        2,
    ]


def test_records_hold_every_update_once(finished: Path) -> None:
    rows = read_rows(finished / "metrics.jsonl")
    updates = [(row["stage"], row["step"]) for row in rows if row["kind"] == "update"]
    assert len(updates) == len(set(updates))
    assert [step for stage, step in updates if stage == "posttrain"] == list(range(1, 21))
    assert all(
        row["groups_all_right"] + row["groups_all_wrong"] + row["groups_mixed"] == pytest.approx(1)
        for row in rows
        if "groups_mixed" in row
    )
    errors = [row["logp_error_max"] for row in rows if row.get("logp_error_max") is not None]
    assert errors
    assert max(errors) < 1e-4


@pytest.mark.slow
@pytest.mark.smoke
def test_stage_1_is_trained_once_for_two_algorithms(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    first = chainlift("run", recipe, "--out", out, "--json")
    shared = next((out / "stages").glob("pretrain-*"))
    stamps = {file: file.stat().st_mtime_ns for file in shared.rglob("*") if file.is_file() and file.name != ".lock"}
    second = chainlift("run", recipe, "posttrain.algorithm=rloo", "--out", out, "--json")
    assert first.returncode == second.returncode == 0
    assert stamps == {file: file.stat().st_mtime_ns for file in stamps}
    one, other = summary_of(first.stdout), summary_of(second.stdout)
    assert one["run_id"] != other["run_id"]
    assert one["pretrain"] == other["pretrain"]
    assert "taken from" in second.stderr
    weights = [(out / s["run_id"] / "checkpoints/pretrain-40/model.safetensors").read_bytes() for s in (one, other)]
    assert weights[0] == weights[1]


def test_a_finished_run_is_not_run_again(finished: Path) -> None:
    before = (finished / "metrics.jsonl").stat().st_mtime_ns
    again = chainlift("run", finished.parent.parent / "small.yaml", "--out", finished.parent, "--json")
    assert again.returncode == 0
    assert summary_of(again.stdout) == json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    assert (finished / "metrics.jsonl").stat().st_mtime_ns == before


@pytest.mark.slow
def test_without_long_demonstrations_the_preflight_warns(recipe: Path, tmp_path: Path) -> None:
    """Seed 0, fixed. A long response is left with probability 1e-4: in 2.5 % of other seeds one of the 256 would be."""
    changes = ("mixture.p_cot=0", "pretrain.steps=600", "pretrain.batch_size=64", "pretrain.lr=1e-2")
    done = chainlift("run", recipe, *changes, "continued_pretrain=null", "--out", tmp_path / "runs", "--json")
    assert done.returncode == 0, done.stderr
    assert "no long response among" in done.stderr
    summary = summary_of(done.stdout)
    assert summary["theory"]["rl"]["greedy_accuracy"] is None
    row = next(
        r for r in read_rows(tmp_path / "runs" / summary["run_id"] / "metrics.jsonl") if r["kind"] == "preflight"
    )
    assert row["warnings"]


@pytest.mark.slow
def test_tiny_shows_the_headlines_picture(tmp_path: Path) -> None:
    """Seed 0, fixed. Greedy accuracy before within 5 standard errors of 1/2 (false alarm 1e-6), after at least .95."""
    done = chainlift("run", "tiny", "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    summary = summary_of(done.stdout)
    before, after, baseline = (summary[stage] for stage in ("pretrain", "posttrain", "continued_pretrain"))
    assert abs(before["greedy_accuracy"] - 0.5) < 0.06
    assert before["greedy_length_median"] == 1
    assert after["greedy_accuracy"] >= 0.95
    assert after["greedy_length_median"] == 8
    assert abs(baseline["greedy_accuracy"] - 0.5) < 0.06


@pytest.mark.slow
def test_the_linear_model_goes_through_every_command_but_export(recipe: Path, tmp_path: Path) -> None:
    linear = ["model={family: linear}", "pretrain.optimizer=sgd", "posttrain.optimizer=sgd"]
    done = chainlift("run", recipe, *linear, "--out", tmp_path / "runs", "--json")
    assert done.returncode == 0, done.stderr
    summary = summary_of(done.stdout)
    run = tmp_path / "runs" / summary["run_id"]
    assert summary["posttrain"]["exact_enumerated"] is True
    assert summary["posttrain"]["exact_n"] == 16
    rows = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "evaluation"]
    assert all(0 < row["exact"]["long_share"] < 1 for row in rows)
    for command in (["evaluate", run, "--prompts", "64"], ["sample", run, "0110"], ["report", run]):
        found = chainlift(*command)
        assert found.returncode == 0, found.stderr
    before = sorted(tmp_path.iterdir())
    refused = chainlift("export", run, tmp_path / "exported")
    assert refused.returncode == 2
    assert "linear model, for which transformers has no class" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_compiled_parts_learn_the_same(recipe: Path, tmp_path: Path) -> None:
    overrides = ["compile=true", "pretrain.steps=10", "posttrain.steps=1", "continued_pretrain=null"]
    losses = []
    for more in (overrides, overrides[1:]):
        done = chainlift("run", recipe, *more, "--out", tmp_path / str(len(more)), "--json")
        assert done.returncode == 0, done.stderr
        folder = tmp_path / str(len(more)) / summary_of(done.stdout)["run_id"]
        losses.append([row["loss"] for row in read_rows(folder / "metrics.jsonl") if row["kind"] == "update"])
    assert len(losses[0]) == 11
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[0] != losses[1], "if every bit is equal nothing was compiled"


@pytest.mark.slow
def test_compiling_without_a_compiler_is_one_line(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    done = chainlift("run", recipe, "compile=true", "--out", tmp_path / "runs")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: compile: torch.compile does not work here (")
    assert "install a C++ compiler" in done.stderr
    assert not (tmp_path / "runs").exists()
