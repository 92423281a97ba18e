"""Small runs that are killed: stage 1, RL and the baseline; two runs of a sweep; a run that begins again."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainlift.report.pages import run_page

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from chainlift.report.pages import last_page
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import environment
from chainlift.stages import context, pipeline
from chainlift.stages import recipe as recipes
from chainlift.stages.kinds import rl
from chainlift.sweep import jobs
from tests.kills.calls import Tree

RECIPE: dict[str, Any] = {
    "name": "small",
    "task": {"name": "running_sum", "d": 2},
    "model": {"layers": 1, "width": 4, "heads": 1},
    "stages": {
        "pretrain": {"kind": "ntp", "steps": 2, "batch_size": 2, "checkpoint_every": 1},
        "posttrain": {"kind": "rl", "prompts": 2, "group_size": 2, "steps": 2, "checkpoint_every": 1},
        "continued_pretrain": {"kind": "ntp", "start": "pretrain", "match_tokens": "posttrain", "token_ratio": 0.5},
    },
    "evaluate": {"prompts": 3, "during": 2, "every": 1, "every_rounds": 1, "pass_at_k_prompts": 0},
    "threads": 1,
}


LANGUAGE = (
    "task.train_size=50", "task.test_size=8", "task.min_steps=1", "task.max_steps=1", "task.max_number=10",
    "task.max_tokens=3", "model.scratch.layers=1", "model.scratch.width=8", "model.scratch.heads=1",
    "model.scratch.mlp=8", "model.scratch.vocabulary=300", "pretrain.steps=2", "pretrain.batch_size=2",
    "pretrain.micro_batch_size=2", "pretrain.checkpoint_every=1", "evaluate.prompts=2", "evaluate.during=2",
    "evaluate.every=9", "posttrain.prompts=2", "posttrain.group_size=2", "posttrain.micro_batch_size=4",
    "posttrain.steps=2", "posttrain.checkpoint_every=1", "evaluate.every_rounds=9",
    "device=cpu", "threads=1",
)  # fmt: skip


TEXT: dict[str, Any] = {
    **RECIPE,
    "name": "text",
    "task": {
        "name": "word_problems",
        **{"train_size": 20, "test_size": 8, "min_steps": 1, "max_steps": 1, "max_number": 10, "max_tokens": 70},
    },
    "model": {
        "family": "llama",
        **{"layers": 1, "width": 8, "heads": 1, "mlp_width": 8, "context": 256, "vocabulary": 300},
        **{"weights": "bfloat16", "lora": {"rank": 2}},
    },
}


def run(out: Path) -> None:
    """All stages of one run."""
    pipeline.run(recipes.build(dict(RECIPE)), out, Reporter(quiet=True))


def sweep(out: Path) -> None:
    """Two runs of a sweep, and before them the stage 1 that they share."""
    one = recipes.override(recipes.build(RECIPE), ["continued_pretrain=null"])
    other = recipes.override(one, ["posttrain.algorithm=rloo", "evaluate.prompts=5"])
    for job in jobs.plan([one, other], out):
        assert jobs.work(job) == "done", job.folder.failure


def run_with_page(out: Path, *, fresh: bool = False) -> None:
    """All stages of one run, and its page."""
    result = pipeline.run(recipes.build(dict(RECIPE)), out, Reporter(quiet=True), fresh=fresh, page=last_page.written)
    assert result.report is not None


def again(out: Path) -> None:
    """A run that begins again where one is finished."""
    run_with_page(out, fresh=True)


def otherwise(out: Path) -> None:
    """The same run as another version of the measures has recorded it: its rows, summary and page can be told apart."""
    real = context.measure

    def measure(*arguments: Any, **named: Any) -> dict[str, Any]:
        table = real(*arguments, **named)
        table["greedy"]["length_median"] += 1.0
        return table

    context.measure = measure
    run_with_page(out)


def language(out: Path) -> None:
    """Fine-tuning, RL and the baseline of a tiny language model, by TRL."""
    pipeline.run(recipes.load("llm-tiny-trl", list(LANGUAGE)), out, Reporter(quiet=True))


def text(out: Path) -> None:
    """All stages of a run on text with our own engine."""
    pipeline.run(recipes.build(dict(TEXT)), out, Reporter(quiet=True))


@dataclass(frozen=True)
class Scene:
    """A command that is killed, and the one that follows."""

    command: Callable[[Path], None]
    follows: Callable[[Path], None]
    before: Callable[[Path], None] | None = None
    """What had been done in the folder; other bytes than the command's, which `follows` leaves as they are."""
    measures: bool = False
    """Whether models are measured and responses kept, as in a user's run; a page needs both."""


SCENES = {
    "run": Scene(run, run),
    "sweep": Scene(sweep, sweep),
    "again": Scene(again, run_with_page, before=otherwise, measures=True),
    "language": Scene(language, language),
    "text": Scene(text, text),
}


def emptied(begun: Tree) -> list[Tree]:
    """A finished run as it was; and without its folder, and without the last 0, 1, ... of the stages that it shares."""
    stages = [
        folder
        for name in reversed(RECIPE["stages"])
        for folder in begun
        if folder.count("/") == 1 and folder.startswith(f"stages/{name}-")
    ]
    assert len(stages) == len(RECIPE["stages"])
    found = [begun]
    for number in range(len(stages) + 1):
        kept = (path for path in begun if path.startswith("stages") and not path.startswith(tuple(stages[:number])))
        found.append({path: begun[path] for path in kept})
    return found


def prepare(*, measures: bool) -> None:
    """Replace what takes time and writes nothing: git's answers, figures and, unless it `measures`, measuring."""
    torch.set_num_threads(1)
    environment.describe = lambda *_: {}
    run_page.static.write = lambda *_: []
    run_page.get_plotlyjs = lambda: ""
    if not measures:
        context.measure = _measure
        context.records = lambda *_, **__: [{"shown": True}]
        context.answer = _no_answers
        rl.preflight = lambda *_: None


def compared(tree: Tree) -> dict[str, bytes | None]:
    """What must be equal: names, records, weights, summary and page; not what tells the time."""
    told = (".jsonl", ".safetensors", "recipe.yaml", ".identity", "config.json", "report.html")
    found = {
        name: content if name.endswith(told) else None for name, content in tree.items() if not name.endswith(".lock")
    }
    return found | {name: _timeless(tree[name]) for name in tree if name.endswith("summary.json")}


def _timeless(summary: bytes | None) -> bytes:
    """A summary without the seconds that its stages took."""
    assert summary is not None
    stages = json.loads(summary)
    for stage in stages.values():
        if isinstance(stage, dict):
            stage.pop("seconds", None)
    return json.dumps(stages).encode()


def _measure(model: Any, task: Any, num_prompts: int, **_: Any) -> dict[str, Any]:
    total = sum(parameter.sum().item() for parameter in model.parameters())
    mode = {"n": num_prompts, "accuracy": total, "accuracy_ci95": [0.0, 0.0], "length_median": 0.0, "long_share": 0.0}
    return {"greedy": mode, "sampled": mode}


def _no_answers(*_: Any, **__: Any) -> Any:
    class Nothing:
        rollout = type("Rollout", (), {"rows": ()})

    return Nothing
