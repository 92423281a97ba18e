"""`chainlift bench` from its options to its tables, on a model that takes milliseconds."""

import io
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from chainlift.bench import command, suite
from chainlift.bench import result as results
from chainlift.bench.command import Options, Report, _Session
from chainlift.bench.machine import Machine
from chainlift.bench.progress import Steps
from chainlift.bench.states import States
from chainlift.bench.suite import Suite
from chainlift.cli import main
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe
from tests.conftest import chainlift

QUICK = ("--repeats", "1", "--threads", "1")
WITHOUT_PEERS = """
import sys
sys.modules["trl"] = None
from chainlift.cli import main
main()
"""


@pytest.mark.slow
def test_everything_against_every_peer(finished: Path) -> None:
    done = chainlift("bench", "--run", finished, *QUICK, "--no-memory", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["peers"]
    assert (told["repeats"], told["environment"]["threads"], told["environment"]["device"]) == (1, 1, "cpu")
    found = {(one["action"], one["state"]): one for one in told["comparisons"]}
    assert set(found) == {
        ("stage1", ""),
        *(
            (action, state)
            for action in ("rollout", "update", "update of RLOO", "evaluate")
            for state in ("early", "late")
        ),
        ("update", f"late, {suite.COINS}"),
    }
    for (action, state), one in found.items():
        assert one["limit_gflop_per_second"] > 0
        assert 0 < one["cases"][0]["utilization"] < 1.5, (action, state)
        assert [case["kind"] for case in one["cases"]] == ["ours", "peer"]
        assert one["cases"][1]["ratio"]["median"] > 0


@pytest.mark.slow
def test_the_engine_alone_with_its_memory(finished: Path) -> None:
    """Where a peer is not installed the command says so, and measures the rest."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT_PEERS,
            "bench",
            "--run",
            finished,
            *QUICK,
            "--only",
            "rollout",
            "--dtype",
            "bfloat16",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "no peers, the engine alone: trl is missing (pip install 'chainlift[bench]')" in done.stderr + done.stdout
    assert "rollout, late, bfloat16" in done.stdout
    assert "MiB" in done.stdout
    assert "transformers generate" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--only", "sleep"], "--only: 'sleep' is not an action; allowed: stage1, rollout, update, evaluate"),
        (["--dtype", "float64"], "--dtype: 'float64' is not known; allowed: float32, bfloat16, both"),
        (["--device", "mps"], "device: mps is not timed; allowed: auto, cpu, cuda"),
        (["--run", "nowhere"], "--run: nowhere is not a run folder"),
        (["tiny", "--run", "nowhere"], "--run has a recipe of its own: leave RECIPE and KEY=VALUE out"),
        (["tiny", "--whole", "--only", "stage1"], "--whole runs everything; leave --run and --only out"),
        (["linear-ntp"], "model.family: linear is not timed; allowed: gpt2, mistral, llama"),
        (
            ["tiny", "posttrain=null", "continued_pretrain=null"],
            "stages: tiny has no RL; --only stage1 measures it without",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(
    arguments: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["chainlift", "bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"error: {line}\n")


def test_a_run_that_is_not_finished_is_refused(finished: Path, tmp_path: Path) -> None:
    own = tmp_path / "run"
    own.mkdir()
    (own / "recipe.yaml").write_text((finished / "recipe.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"--run: .*run is not finished"):
        Options(run=own).recipe()


def test_without_rl_stage_1_is_what_there_is(small: Recipe, folder: Path) -> None:
    found = list(Suite(States(small, folder, None), Machine(), peers=True).comparisons())
    assert [one.action for one in found] == ["stage1"]


def test_the_recipe_needs_a_device_that_is_there(small: Recipe) -> None:
    assert Options(device="cpu", dtypes=("float32", "bfloat16")).machines(small) == [
        Machine("cpu", "float32"),
        Machine("cpu", "bfloat16"),
    ]
    with pytest.raises(ValueError, match="device: mps is not timed"):
        Options().machines(recipes.override(small, ["device=mps"]))


def test_a_slow_moment_does_not_lower_the_limit(small: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([1e9, 4e9, 2e9])
    monkeypatch.setattr(results, "matmul_rate", lambda machine, width, hidden: next(rates))
    told: list[str] = []
    report = Report({}, "small", 2, None)
    turns = _Session(2, Steps(Console(file=io.StringIO())), told.append)
    turns.of_suites([Suite(States(small, folder, None), Machine(), peers=False)], report, with_memory=False)
    assert [one.rate for one in report.results] == [4e9]
    assert len(told) == 1


def test_the_extra_has_every_peer_and_dev_has_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert {one.split(">")[0] for one in extras["bench"]} == {"transformers", "trl", "accelerate", "datasets"}
    assert set(extras["bench"]) <= set(extras["llm"])
    assert "bench" in extras["dev"][0]


def test_only_and_dtype_are_read() -> None:
    assert command.parse_only("update, stage1") == ("update", "stage1")
    assert command.parse_dtype("both") == ("float32", "bfloat16")
