"""What `import chainlift` costs and gives, in an interpreter of its own."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import chainlift as cl
from chainlift.api import verbs
from tests.api.conftest import SMALL

DESIGN = """
import chainlift as cl
small = {small!r}
run = cl.run("headline", "posttrain.algorithm=star", *small, "pretrain.keep=[3]", seed=1)
assert run.summary["posttrain"]["algorithm"] == "star" and run.summary["seed"] == 1
assert set(run.metrics("evaluation")["stage"]) == {{"pretrain", "posttrain", "continued_pretrain"}}
assert run.checkpoints[:2] == ["pretrain@3", "pretrain@6"], run.checkpoints
assert sum(weights.numel() for weights in run.model("pretrain@3").parameters()) > 1000
assert run.sample("0110", at="posttrain")[0]["prompt"] == "0110"
assert run.evaluate(prompts=24)["greedy"]["n"] == 24
assert run.page().name == "report.html"
assert cl.open(run.folder).summary == run.summary
assert cl.runs("runs")["run_id"].tolist() == [run.folder.name]
small += ["posttrain=null", "continued_pretrain=null"]
table = cl.sweep("tiny", {{"mixture.p_cot": [.1, .2]}}, *small, seeds=range(3))
assert table["mixture.p_cot"].tolist() == [.1, .2] * 3 and table["seed"].tolist() == [0, 0, 1, 1, 2, 2]
assert cl.theory(p_cot=.25)["greedy"] == "short"
assert cl.recipe("headline").task.d == 50
assert len(cl.runs("runs")) == 7
print("all of it")
"""


def fresh(text: str, folder: Path) -> str:
    """What a script prints in an interpreter of its own; its errors fail the test."""
    (folder / "script.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_brings_nothing_heavy(tmp_path: Path) -> None:
    out = fresh("import sys, chainlift; print(*{name.partition('.')[0] for name in sys.modules})", tmp_path)
    assert not {"torch", "numpy", "pandas", "pydantic", "matplotlib", "yaml"} & set(out.split())


def test_theory_and_open_runs_need_no_torch(small_run: cl.Run, tmp_path: Path) -> None:
    text = f"""
import sys, chainlift as cl
assert cl.theory(p_cot=.4)["greedy"] == "long"
run = cl.open({str(small_run.folder)!r})
assert run.is_done and run.summary["seed"] == 1
assert len(run.metrics("update", "posttrain")) == 4
assert len(cl.runs({str(small_run.folder.parent)!r})) == 1
print("torch" in sys.modules)
"""
    assert fresh(text, tmp_path) == "False\n"


@pytest.mark.slow
def test_the_lines_of_the_design_work_as_they_stand(tmp_path: Path) -> None:
    """In a script without a `__main__` guard, which the sweep's processes must not run again."""
    assert fresh(DESIGN.format(small=SMALL), tmp_path).splitlines() == ["all of it"]


def test_every_public_name_is_there_and_documented() -> None:
    assert set(cl.__all__) <= set(dir(cl))
    for name in cl.__all__:
        assert inspect.getdoc(getattr(verbs, name, None) or getattr(cl, name)), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        cl.rum  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", ["runs", "sweep", "theory"])
def test_verbs_that_are_rooms_too_stay_both(name: str) -> None:
    room: Any = importlib.import_module(f"chainlift.{name}")
    assert getattr(cl, name) is room
    assert room.__path__
    assert inspect.signature(room) == inspect.signature(getattr(verbs, name))
