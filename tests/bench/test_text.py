"""The benchmark on a language model: peers get our gradients, and every comparison runs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from chainlift.bench import peers, states
from chainlift.bench.language.ours import TextEngine
from chainlift.bench.language.suite import TextSuite, suite_of
from chainlift.bench.language.trl_recorded import GrpoUpdate, SftUpdate
from chainlift.bench.machine import Machine
from chainlift.bench.ours import draw_batch
from chainlift.bench.states import States
from chainlift.learning import next_token
from chainlift.models.hub import model_folder
from chainlift.stages import recipe as recipes
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.recipe import Recipe

pytest.importorskip("trl")

CONTENT: dict[str, Any] = {
    "name": "small-text",
    "title": "small",
    "task": {"name": "word_problems", "train_size": 60, "test_size": 20, "max_tokens": 60},
    "mixture": {"p_cot": 0.5},
    "model": {"family": "llama", "layers": 2, "width": 32, "heads": 2, "kv_heads": 1, "mlp_width": 48},
    "stages": {
        "pretrain": {"kind": "ntp", "steps": 2, "batch_size": 8},
        "posttrain": {"kind": "rl", "algorithm": "grpo", "prompts": 4, "group_size": 4, "steps": 2},
    },
}


@pytest.fixture(scope="module")
def small() -> Recipe:
    return recipes.build(CONTENT)


@pytest.fixture(scope="module")
def folder(small: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state") / "model"
    path.mkdir()
    states.save_new(small, path)
    return path


@pytest.fixture
def engine(small: Recipe, folder: Path) -> TextEngine:
    return TextEngine(small, *model_folder.load(folder))


def gradients_before_the_step(update: SftUpdate | GrpoUpdate) -> dict[str, torch.Tensor]:
    """Filled by the next update with the gradients that TRL's trainer is about to apply, which it has clipped."""
    from transformers import TrainerCallback

    kept: dict[str, torch.Tensor] = {}

    class Keep(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            kept.update({name: value.grad.clone() for name, value in model.named_parameters()})

    update.trainer.add_callback(Keep())
    return kept


def our_gradients(engine: TextEngine) -> dict[str, torch.Tensor]:
    """Our gradients under transformers' names, clipped in the same way."""
    torch.nn.utils.clip_grad_norm_(engine.model.parameters(), 1.0)
    with torch.no_grad():
        for parameter in engine.model.parameters():
            assert parameter.grad is not None
            parameter.copy_(parameter.grad)
    return engine.model.to_hub()


def assert_equal(theirs: dict[str, torch.Tensor], ours: dict[str, torch.Tensor]) -> None:
    assert theirs.keys() >= {name for name in ours if name != "lm_head.weight"}
    for name, value in theirs.items():
        if name == "model.embed_tokens.weight":  # transformers gives no gradient to a padding token that was sampled
            value[0] = ours[name][0]
        torch.testing.assert_close(value, ours[name], rtol=1e-3, atol=2e-5, msg=name)


def test_the_padded_step_has_our_loss(small: Recipe, folder: Path, engine: TextEngine) -> None:
    batch = draw_batch(small, engine.task, 1)
    metrics = next_token.accumulate_gradient(engine.model, batch, "token_mean")
    step = peers.TrainingStep(folder, Machine(), engine.task, micro_batch=3)
    tokens, labels = peers.pad(batch, engine.task)
    assert not (tokens[:, 0] == engine.task.vocabulary.eos).any()
    assert step.model(input_ids=tokens, labels=labels).loss.item() == pytest.approx(metrics["loss"], rel=1e-4)
    assert step(batch).work.tokens == batch.num_tokens


def test_micro_batches_have_the_gradient_of_the_whole(folder: Path, small: Recipe, engine: TextEngine) -> None:
    weights = []
    for size in (None, 3):
        step = peers.TrainingStep(folder, Machine(), engine.task, micro_batch=size)
        step(draw_batch(small, engine.task, 1))
        weights.append(step.model.model.layers[0].mlp.up_proj.weight)
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-7)


def test_sft_takes_our_gradient(small: Recipe, folder: Path, engine: TextEngine, monkeypatch: Any) -> None:
    monkeypatch.setattr(peers, "MICRO_BATCH", 4)
    batch = draw_batch(small, engine.task, 1)
    update = SftUpdate(folder, Machine(), engine.task, "float32", batch_size=8)
    theirs = gradients_before_the_step(update)
    assert update(batch).work.tokens == batch.num_tokens
    next_token.accumulate_gradient(engine.model, batch, "token_mean")
    assert_equal(theirs, our_gradients(engine))


def test_grpo_takes_our_gradient(folder: Path, engine: TextEngine, monkeypatch: Any) -> None:
    monkeypatch.setattr(peers, "MICRO_BATCH", 8)
    settings = ReinforcementLearning(prompts=4, group_size=4, algorithm="grpo")
    samples = engine.record(1, coins=True)
    update = GrpoUpdate(folder, Machine(), engine.task, "float32", settings=settings)
    theirs = gradients_before_the_step(update)
    assert update(samples).work.sequences == 16
    engine.accumulate(samples)
    assert_equal(theirs, our_gradients(engine))


@pytest.mark.slow
def test_every_comparison_runs(small: Recipe, folder: Path) -> None:
    suite = suite_of(States(small, folder, folder), Machine(), peers=True)
    assert isinstance(suite, TextSuite)
    titles = []
    for comparison in suite.comparisons():
        titles.append(comparison.title)
        works = {case.name: case.make()(1).work for case in comparison.cases}
        assert all(work.sequences > 0 for work in works.values())
        if "rollout" not in comparison.title:
            assert len(set(works.values())) == 1, works
    assert titles == [
        "stage1, float32",
        "rollout, early, float32",
        "rollout, late, float32",
        "update on recorded samples, early, float32",
        "update on recorded samples, late, float32",
        "update on recorded samples, late, rewards of coin flips, float32",
    ]
