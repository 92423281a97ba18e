"""The pieces that docs/extending.md builds, by its own text: they run, and what is wrong with others is one line."""

import importlib.metadata
import json
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chainlift import registry as registries
from chainlift.learning.presets import ALGORITHMS
from chainlift.learning.reward import REWARDS
from chainlift.models import families
from chainlift.models.families import FAMILIES
from chainlift.report.figures.reference import references
from chainlift.report.record import read
from chainlift.runs.store import read_rows
from chainlift.stages import recipe
from chainlift.stages.kind_registry import KINDS
from chainlift.tasks.registry import TASKS
from tests.documented import SMALL, commands, files, working_directory
from tests.in_process import command

REGISTRIES = (TASKS, FAMILIES, REWARDS, ALGORITHMS, KINDS)
MIXER = ["model.family=my_pieces:Mixer", "pretrain.optimizer=adamw"]
STOP = """
import signal
calls = 0

def stopping(verdict):  # as Ctrl-C in the fifth round: of nine calls one is the trial and one the preflight's
    global calls
    calls += 1
    if calls == 7:
        signal.raise_signal(signal.SIGINT)
    return verdict.answer.float()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the document's files."""
    for one in REGISTRIES:
        monkeypatch.setattr(one, "_pieces", dict(one._pieces))
    with working_directory(tmp_path, files() | {"other.py": ""}, monkeypatch) as here:
        yield here


def own(folder: Path, text: str) -> None:
    """Write other.py anew."""
    (folder / "other.py").write_text(text, encoding="utf-8")
    sys.modules.pop("other", None)


def summary_of(out: str) -> dict[str, Any]:
    return json.loads(out.splitlines()[-1])


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
    assert references(read(run)) == []
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "posttrain.reward=chian",
            "posttrain.reward: reward 'chian' is not known, did you mean 'chain'?; known: chain, ",
        ),
        (
            "posttrain.algorithm=grop",
            "posttrain.algorithm: algorithm 'grop' is not known, did you mean 'grpo'?; known: ",
        ),
        ("model.family=mistrl", "model: family 'mistrl' is not known, did you mean 'mistral'?; known: gpt2, linear, "),
        ("posttrain.reward=my_pieces:no", "posttrain.reward: 'my_pieces:no' cannot be imported: AttributeError: "),
        (
            "posttrain.algorithm=my_pieces:no",
            "posttrain.algorithm: 'my_pieces:no' cannot be imported: AttributeError: ",
        ),
        ("model.family=my_pieces:no", "model: 'my_pieces:no' cannot be imported: AttributeError: "),
        ("model.family=nowhere:Mixer", "model: 'nowhere:Mixer' cannot be imported: ModuleNotFoundError: "),
        (
            "posttrain.reward=my_pieces:Mixer",
            "'my_pieces:Mixer' is not a valid reward: it must be a function from a verdict",
        ),
        (
            "posttrain.algorithm=my_pieces:brief",
            "'my_pieces:brief' is not a valid algorithm: it must be a chainlift.learning.",
        ),
        (
            "model.family=my_pieces:brief",
            "'my_pieces:brief' is not a valid family: it must be a subclass of chainlift.models",
        ),
        (
            "model.family=other:Bare",
            "'other:Bare' is not a valid family: it must be a class with an attribute Settings",
        ),
        ("model.widht=3", "model.widht: unknown key, did you mean 'width'?; allowed: family, layers, width"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_the_key(folder: Path, override: str, message: str) -> None:
    own(folder, "from chainlift.models.model import Model\nclass Bare(Model):\n    pass\n")
    ended = command("run", "tiny", *(MIXER if "widht" in override else []), override)
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert message in line
    assert override.partition("=")[0].partition(".")[0] in line
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (".tril()", "", "logits depend on later tokens"),
        ("def forward(self, tokens)", "def run(self, tokens)", "NotImplementedError: Module [Mixer] is missing"),
        ("self.head(self.norm(x))", "self.norm(x)", "read gives logits of the shape (2, 9, 32), not (B, "),
        ("self.head(self.norm(x))", "self.head(x) / 0 * nothing", "NameError: name 'nothing' is not defined"),
        ("nn.Embedding(context, settings.width)", "nn.Embedding(3, settings.width)", "RuntimeError: "),
        (
            "self.norm, self.head",
            "self.start = nn.Parameter(torch.randn(3))\n        self.norm, self.head",
            "start differs from call to call of initialize with the same generator",
        ),
        (
            "    def forward(self, tokens)",
            "    def logits(self, cache, suffix, rows=None):\n        return self.read(suffix, 0)\n\n"
            "    def forward(self, tokens)",
            "logits after prefill differ from those of read",
        ),
    ],
)  # fmt: skip
def test_a_family_that_does_not_fulfill_the_protocol_is_one_line(
    folder: Path, before: str, after: str, message: str
) -> None:
    text = files()["my_pieces.py"]
    assert before in text
    own(folder, text.replace(before, after))
    with pytest.raises(
        ValueError, match=re.escape(f"family 'other:Mixer' does not fulfill the protocol: {message}")
    ) as found:
        recipe.load("tiny", ["model.family=other:Mixer"])
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "verdict.answer.float().mean()",
            "must give a tensor of the shape (4,), one number for each response (got the",
        ),
        ("[1.0] * 4", "must give a tensor of the shape (4,), one number for each response (got list)"),
        ("verdict.answer / 0", "gives numbers that are not finite"),
        ("verdict.quality", "fails: AttributeError: 'Verdict' object has no attribute 'quality'"),
    ],
)
def test_a_reward_that_does_not_work_is_one_line_before_anything_is_trained(
    folder: Path, body: str, message: str
) -> None:
    own(folder, f"def mine(verdict):\n    return {body}\n")
    ended = command("run", "tiny", "posttrain.reward=other:mine")
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert f"reward 'other:mine' {message}" in line
    assert not (folder / "runs").exists()


def test_muon_needs_matrices(folder: Path) -> None:
    own(folder, files()["my_pieces.py"].replace("self.blocks", "self.parts"))
    with pytest.raises(ValueError, match="optimizer muon needs the matrices of blocks; family other:Mixer has none"):
        recipe.load("tiny", ["model.family=other:Mixer"])  # whose stage 1 has Muon
    recipe.load("tiny", ["model.family=other:Mixer", "pretrain.optimizer=adamw"])


def test_shipped_names_and_references_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="reward 'chain' is shipped with chainlift; choose another name"):
        REWARDS.register("chain", lambda verdict: verdict.answer.float())
    with pytest.raises(ValueError, match="'a:b' is not a valid name of a reward"):
        REWARDS.register("a:b", lambda verdict: verdict.answer.float())
    with pytest.raises(ValueError, match="'mine' is not a valid algorithm: it must be a chainlift"):
        ALGORITHMS.register("mine", {"advantage": "none"})


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
    assert "holds a my_pieces:Mixer model, which transformers has no class for" in ended.err


@pytest.mark.parametrize(
    ("part", "key", "name"),
    [
        ("model", "family", "Mixer"),
        ("posttrain", "reward", "brief"),
        ("posttrain", "algorithm", "my_objective"),
        ("distil", "kind", "Distil"),
    ],
)
def test_a_recipe_in_a_file_imports_no_piece(folder: Path, part: str, key: str, name: str) -> None:
    own(folder, f"open('ran.txt', 'w').close()\nfrom my_pieces import {name}\n")
    reference = f"other:{name}"
    content = yaml.safe_load(recipe.shipped()["tiny"].read_text(encoding="utf-8"))
    if part == "model":
        content["model"] = {"family": reference}
    else:
        content["stages"].setdefault(part, {})[key] = reference
    (folder / "evil.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    ended = command("run", "evil.yaml", "--dry-run")
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert f"{reference!r} is code, and evil.yaml names it, not you" in line
    assert not (folder / "ran.txt").exists()
    recipe.load("evil.yaml", trust=True)
    recipe.load("evil.yaml", [f"{part}.{key}={reference}"])
    assert (folder / "ran.txt").exists()


def test_a_dry_run_describes_an_own_family_in_one_line(folder: Path) -> None:
    ended = command("run", "tiny", *SMALL, *MIXER, "--dry-run")
    assert ended.status == 0, ended.err
    assert "# model: my_pieces:Mixer, layers 1, width 16, " in ended.out
