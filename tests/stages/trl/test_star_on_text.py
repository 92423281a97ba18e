"""STaR on language models: adapters alone are trained, go on from round to round, and survive an end of the process."""

from pathlib import Path
from typing import Any

import pytest
import torch

from chainlift.models.pretrained import loading
from chainlift.runs.store import RunFolder
from chainlift.stages.kinds.trl_rl import TextReinforcementLearning
from chainlift.stages.trl import star, star_fit, training
from tests.stages.trl.small_text import all_right, context, place, run, small

STAR = (
    "posttrain.algorithm=star", "posttrain.steps_per_round=2", "model.lora.rank=2", "pretrain.steps=2",
    "posttrain.lr=1e-2",
)  # fmt: skip


def weights(folder: RunFolder, name: str) -> dict[str, torch.Tensor]:
    return loading.open_folder(str(folder.checkpoints / name))[0].state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("restart", [False, True])
def test_adapters_alone_are_trained(restart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_right(monkeypatch)
    trained: list[int] = []
    real = star_fit._fit

    def fit(context: Any, place: Any, stage: Any, model: Any, *rest: Any) -> Any:
        trained.append(sum(p.numel() for p in model.parameters() if p.requires_grad))
        return real(context, place, stage, model, *rest)

    monkeypatch.setattr(star_fit, "_fit", fit)
    folder, _ = run(tmp_path, *STAR, f"posttrain.restart={restart}")
    # q, k, v, o: 32 + 32 inputs and outputs; gate, up, down: 32 + 64; rank 2, one layer.
    assert trained == [2 * (4 * 64 + 3 * 96)] * 2
    before, after = weights(folder, "pretrain-2"), weights(folder, "posttrain-4")
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert len(moved) == 7
    assert all("_proj" in name for name in moved)
    # What went from round to round is a product of rank 2.
    name = "model.layers.0.self_attn.q_proj.weight"
    assert torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-4) == 2


@pytest.mark.slow
def test_a_run_goes_on_with_the_adapters_of_its_last_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_right(monkeypatch)
    calm, _ = run(tmp_path / "calm", *STAR)
    real = star.sample_round

    def dies(*given: Any) -> Any:
        if given[-1] == 1:
            raise MemoryError
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(star, "sample_round", dies)
        with pytest.raises(MemoryError):
            run(tmp_path / "died", *STAR)
    (folder,) = (tmp_path / "died").glob("llm-tiny-*")
    kept = {path.name for path in (folder / "checkpoints/posttrain-2").iterdir()}
    assert "adapter_model.safetensors" in kept
    assert "model.safetensors" not in kept
    died, _ = run(tmp_path / "died", *STAR)
    assert died.rows() == calm.rows()


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED"])
def test_divided_weights_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    one = context(tmp_path, small(*STAR, "posttrain.start=null"))
    stage = one.recipe.stages["posttrain"]
    assert isinstance(stage, TextReinforcementLearning)
    with pytest.raises(ValueError, match=r"launch it with ddp\.yaml, not (fsdp|zero3)\.yaml"):
        star.train(one, place(one, "posttrain"), stage)


def test_adapters_are_a_function_of_the_recipes_seed(tmp_path: Path) -> None:
    def drawn(seed: int, before: int) -> float:
        torch.manual_seed(before)
        one = context(tmp_path / str(seed), small(seed=seed))
        training.seed_adapters(one, place(one, "pretrain"))
        return float(torch.rand(()))

    assert drawn(0, 1) == drawn(0, 2) != drawn(1, 1)
