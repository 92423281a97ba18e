"""A whole run where tensors live on Apple's GPU, simulated: no float64 there, nothing that NumPy reads from there."""

from io import StringIO
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from chainlift.cli import app
from chainlift.measure import divergence
from chainlift.measure.evaluate import measure
from chainlift.models import families
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import environment
from chainlift.runs.store import read_rows
from chainlift.seeding import stream
from chainlift.stages import before_after, pipeline
from chainlift.stages import recipe as recipes
from chainlift.tasks import registry
from tests.conftest import SMALL
from tests.simulated_mps import MPS, NO_FLOAT64, simulated_mps

FEW = [
    "model.width=8", "pretrain.steps=1", "posttrain.steps=1", "posttrain.prompts=2", "posttrain.group_size=2",
    "continued_pretrain=null", "evaluate.prompts=4", "evaluate.during=4", "evaluate.pass_at_k_prompts=2",
    "evaluate.pass_at_k_samples=2",
]  # fmt: skip


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose PyTorch has an Apple GPU and no other."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL, encoding="utf-8")
    return file


def test_the_simulated_gpu_refuses_what_the_real_one_refuses() -> None:
    with simulated_mps() as is_there:
        layer = torch.nn.Linear(3, 2).to(MPS)
        x = torch.ones(4, 3, device=MPS)
        loss = layer(x).sum()
        loss.backward()
        assert layer.weight.grad is not None
        assert is_there(loss)
        assert is_there(layer.weight.grad)
        assert layer.weight.device == x.device == loss.device == MPS
        assert not is_there(loss.detach().cpu().double())
        for refused in (
            lambda: loss.double(),
            lambda: torch.zeros(2, dtype=torch.float64, device=MPS),
            lambda: torch.zeros(2, dtype=torch.float64).to(MPS),
        ):
            with pytest.raises(TypeError, match=NO_FLOAT64):
                refused()
        with pytest.raises(TypeError, match="to numpy"):
            x.numpy()
        with pytest.raises(RuntimeError, match="same device"):
            layer(torch.ones(4, 3))
        with pytest.raises(RuntimeError, match="generator"):
            torch.zeros(2, device=MPS).normal_(generator=stream(0, "noise"))


@pytest.mark.usefixtures("apple")
@pytest.mark.slow
def test_a_whole_run_gets_by_on_the_device(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stage 1, preflight, RL, evaluations with pass@k, checkpoints and summary; and both models compared."""
    monkeypatch.setattr(environment, "pick_device", lambda name: "mps")
    with simulated_mps():
        chosen = recipes.load(str(small), [*FEW, "device=mps"])
        result = pipeline.run(chosen, tmp_path / "runs", Reporter(quiet=True))
        compared = before_after.before_after(result.folder, prompts=2, samples=2)
    assert compared.reached[0] == 1
    rows = read_rows(result.folder / "metrics.jsonl")
    assert {row["kind"] for row in rows} == {"update", "evaluation", "preflight"}
    assert {row["stage"] for row in rows} == {"pretrain", "posttrain"}


@pytest.mark.usefixtures("apple")
@pytest.mark.parametrize("family", ["gpt2", "mistral", "linear"])
def test_measurements_on_the_device_are_those_of_the_cpu(family: str) -> None:
    content = {"task": {"name": "running_sum", "d": 4}, "mixture": {"p_cot": 0.25}, "model": {"family": family}}
    if family != "linear":
        content["model"] |= {"layers": 1, "width": 16, "heads": 2}
    chosen = recipes.build(content)
    task = registry.build(chosen.task)
    model = families.build(chosen.model, task).initialize(stream(0, "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=stream(0, "noise"))
    settings = {"seed": 0, "name": "test", "step": 0, "pass_at_k_prompts": 4, "pass_at_k_samples": 2}
    prompts = task.prompts(8, stream(0, "prompts"))
    here = measure(model, task, 16, **settings)
    kl = divergence.kl_by_position(model, model, task, prompts, stream(0, "kl"))
    with simulated_mps():
        model.to(MPS)
        there = measure(model, task, 16, **settings)
        kl_there = divergence.kl_by_position(model, model, task, prompts, stream(0, "kl"))
    assert ("exact" in here) == (family == "linear")
    assert there == approximately(here)
    assert kl_there[0] == pytest.approx(kl[0], abs=1e-6)


def approximately(table: object) -> object:
    """Nested numbers, to be compared up to rounding: the device's sums may be taken in another order."""
    if isinstance(table, dict):
        return {key: approximately(value) for key, value in table.items()}
    if isinstance(table, list):
        return [approximately(value) for value in table]
    return pytest.approx(table, rel=1e-5, abs=1e-6) if isinstance(table, float) else table


@pytest.mark.usefixtures("apple")
def test_auto_takes_the_cpu_and_says_so_once(tmp_path: Path, small: Path) -> None:
    assert environment.pick_device("auto") == "cpu"
    assert environment.pick_device("mps") == "mps"
    assert environment.device_note("mps") is None
    said = CliRunner().invoke(app, ["env"])
    assert "device               cpu" in said.stdout
    assert said.stderr.count("not measured yet") == 1
    assert "device=mps" in said.stderr
    only = ["posttrain=null", "continued_pretrain=null", "pretrain.steps=1", "evaluate.prompts=4"]
    told = StringIO()
    pipeline.run(recipes.load(str(small), [*FEW, *only]), tmp_path / "runs", Reporter(file=told))
    assert told.getvalue().count("not measured yet") == 1


def test_where_there_is_no_apple_gpu_nothing_is_said() -> None:
    assert environment.device_note("auto") is None
