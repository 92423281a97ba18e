"""The pieces that docs/extending.md builds, by its own text: they run, and decide what is learned."""

import importlib.metadata
import runpy
import sys
from pathlib import Path

import pytest

from chainlift import registry as registries
from chainlift.learning.presets import ALGORITHMS
from chainlift.learning.reward import REWARDS
from chainlift.models import families
from chainlift.models.families import FAMILIES
from chainlift.runs.store import read_rows
from chainlift.stages import recipe
from chainlift.stages.kind_registry import KINDS
from chainlift.tasks.registry import TASKS
from tests.documented import SMALL, commands
from tests.extending.conftest import MIXER, own, summary_of
from tests.in_process import command

STOP = """
import signal
calls = 0

def stopping(verdict):  # as Ctrl-C in the fifth round: of nine calls one is the trial and one the preflight's
    global calls
    calls += 1
    if calls == 7:
        signal.raise_signal(signal.SIGINT)
    return verdict.answer_correct.float()
"""


@pytest.mark.parametrize("arguments", [c for c in commands() if "my_pieces" in " ".join(c)], ids=lambda a: a[2])
def test_the_documented_commands_run(folder: Path, arguments: list[str]) -> None:
    ended = command(*arguments, *[one for one in SMALL if "width" not in one], "--json")
    assert ended.status == 0, ended.err
    summary = summary_of(ended.out)
    assert summary["posttrain"]["steps"] == 2
    run = folder / "runs" / str(summary["run_id"])
    if "distil" in arguments[2]:
        assert (summary["distil"]["steps"], summary["distil"]["sequences"]) == (20, 20 * 64 * 4)
        assert "after best-of-n distillation" in (run / "report.html").read_text(encoding="utf-8")
        return
    assert summary["theory"]["reference"] is None
    assert summary["theory"]["rl"]["greedy_accuracy"] == (1.0 if "algorithm" in arguments[2] else None)
    if "family" in arguments[2]:
        assert set(summary["theory"]["rl"].values()) == {None}
        assert summary["theory"]["threshold"] is None
        assert "A small model of the family my_pieces:Mixer" in (run / "report.html").read_text(encoding="utf-8")


def test_the_documented_registrations_give_short_names(folder: Path) -> None:
    sys.path.append(str(folder))
    runpy.run_path("notebook.py")
    chosen = recipe.load("tiny", ["model.family=mixer", "posttrain.reward=brief", "posttrain.algorithm=mine"])
    assert type(families.build(chosen.model, TASKS.find("running_sum").build(chosen.task))).__name__ == "Mixer"
    assert chosen.setting("posttrain.objective").advantage == "leave_one_out"


@pytest.mark.parametrize(
    ("registry", "where", "piece", "override"),
    [
        (REWARDS, "learning.reward:REWARDS", "my_pieces:brief", "posttrain.reward=short"),
        (ALGORITHMS, "learning.presets:ALGORITHMS", "my_pieces:my_objective", "posttrain.algorithm=short"),
        (FAMILIES, "models.families:FAMILIES", "my_pieces:Mixer", "model.family=short"),
        (TASKS, "tasks.registry:TASKS", "my_tasks:Alternating", "task={name: short}"),
        (KINDS, "stages.kind_registry:KINDS", "my_pieces:Distil", "stages.extra={kind: short}"),
    ],
    ids=["reward", "algorithm", "family", "task", "kind of stage"],
)
@pytest.mark.parametrize("as_module", [False, True])
def test_an_entry_point_gives_a_short_name(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    registry: registries.Registry[object],
    where: str,
    piece: str,
    override: str,
    as_module: bool,
) -> None:
    """One that names the piece, and one whose module registers it when it is imported."""
    (room, table), (module, name) = where.split(":"), piece.split(":")
    own(folder, f"from {module} import {name}\nfrom chainlift.{room} import {table}\n{table}.register('short', {name})")
    monkeypatch.syspath_prepend(str(folder))  # as if it were installed
    point = importlib.metadata.EntryPoint("short", "other" if as_module else piece, registry.group)
    monkeypatch.setattr(registries, "entry_points", lambda group: [point] if group == registry.group else [])
    assert "short" in registry.names()
    found = recipe.load("tiny", [override]).model_dump_json()
    assert '"short"' in found


def test_the_reward_and_the_algorithm_decide_what_is_learned(folder: Path) -> None:
    """The rewards on record are the function's, and the weights are those of the shipped row of the same parts."""
    weights = {}
    for algorithm in ("my_pieces:my_objective", "rloo"):
        changes = ["posttrain.ratio=none", "posttrain.clip=none"] if algorithm == "rloo" else []
        given = [f"posttrain.algorithm={algorithm}", "posttrain.reward=my_pieces:brief", *changes]
        ended = command("run", "tiny", *SMALL, *given, "posttrain.prompts=16", "--json")
        assert ended.status == 0, ended.err
        run = folder / "runs" / str(summary_of(ended.out)["run_id"])
        (file,) = run.glob("checkpoints/posttrain-*/model.safetensors")
        weights[algorithm] = file.read_bytes()
        rows = [row for row in read_rows(run / "metrics.jsonl") if row["stage"] == "posttrain" and "reward_mean" in row]
        updates = [row for row in rows if row["kind"] == "update"]
        assert len(updates) == 2
        assert all(0.75 * row["accuracy"] <= row["reward_mean"] <= row["accuracy"] for row in updates)
        assert any(row["reward_mean"] < row["accuracy"] for row in updates)
    assert weights["my_pieces:my_objective"] == weights["rloo"]


def test_a_run_of_an_own_family_goes_on_with_the_same_bytes_and_is_measured_shown_and_kept(folder: Path) -> None:
    own(folder, STOP)
    changes = [*SMALL, *MIXER, "posttrain.steps=7", "posttrain.checkpoint_every=2", "posttrain.kl=0.05"]
    changes += ["posttrain.steps_per_round=1", "posttrain.reward=other:stopping"]
    stopped = command("run", "tiny", *changes, "--json", "--out", "stopped")
    assert stopped.status == 130, stopped.err
    ended = command("run", "tiny", *changes, "--json", "--out", "stopped")
    assert ended.status == 0, ended.err
    own(folder, STOP.replace("== 7", "== -1"))
    whole = command("run", "tiny", *changes, "--json", "--out", "whole")
    assert whole.status == 0, whole.err
    name = str(summary_of(whole.out)["run_id"])
    patterns = ("metrics.jsonl", "rollouts.jsonl", "checkpoints/*/*.safetensors")
    for pattern in patterns:
        (first, *others), second = sorted((folder / "stopped" / name).glob(pattern)), folder / "whole" / name
        for file in (first, *others):
            assert file.read_bytes() == (second / file.relative_to(folder / "stopped" / name)).read_bytes(), file
    rows = read_rows(folder / "whole" / name / "metrics.jsonl")
    updates = [row for row in rows if row["stage"] == "posttrain" and row["kind"] == "update"]
    assert len(updates) == 7
    assert max(row["logp_error_max"] for row in updates) < 1e-4, "sampling and scoring are one distribution"

    run = folder / "whole" / name
    for arguments in (["evaluate", run, "--prompts", "8"], ["sample", run, "-n", "2"]):
        ended = command(*arguments)
        assert ended.status == 2
        (line,) = ended.err.splitlines()
        assert "'my_pieces:Mixer' is code, and" in line
        ended = command(*arguments, "--trust", "--json")
        assert ended.status == 0, ended.err
    assert command("report", run).status == 0
    ended = command("export", run, "out", "--trust")
    assert ended.status == 2
    assert "holds a my_pieces:Mixer model, for which transformers has no class" in ended.err


def test_a_dry_run_describes_an_own_family_in_one_line(folder: Path) -> None:
    ended = command("run", "tiny", *SMALL, *MIXER, "--dry-run")
    assert ended.status == 0, ended.err
    assert "# model: my_pieces:Mixer, layers 1, width 16, " in ended.out
