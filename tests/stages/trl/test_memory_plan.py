"""The dry run's arithmetic: parameters, adapters, activations, cache and disk, against models that are built."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM, LlamaModel

from chainlift.models.lora import LoraSettings
from chainlift.models.pretrained import loading, sizes
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.sampling_memory import GIB
from chainlift.models.pretrained.sizes import ModelSize
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe
from chainlift.stages.trl import gpu_hours
from chainlift.stages.trl.lengths import Lengths
from chainlift.stages.trl.memory_plan import MemoryPlan
from chainlift.stages.trl.work import GPU_FLOPS, Work
from tests.stages.trl.small_text import small

LENGTHS = Lengths(prompt=100, short=5, long=150)


def shipped(name: str, *overrides: str) -> tuple[Recipe, ModelSize]:
    """(a shipped recipe, the size of its model)."""
    chosen = recipes.load(name, list(overrides))
    return chosen, sizes.size(settings(chosen))


def settings(recipe: Recipe) -> PretrainedSettings:
    assert isinstance(recipe.model, PretrainedSettings)
    return recipe.model


@pytest.mark.parametrize("rank", [1, 3, 16])
@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(
            vocab_size=101, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
            num_key_value_heads=2,
        ),
        LlamaConfig(
            vocab_size=64, hidden_size=32, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, tie_word_embeddings=True,
        ),
        GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, n_positions=16),
    ],
)  # fmt: skip
def test_adapters_are_as_many_as_peft_makes(config: Any, rank: int, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    size = sizes.size(PretrainedSettings(path=str(tmp_path)))
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(config)
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    adapted: Any = get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert size.adapters(LoraSettings(rank=rank)) == adapted.get_nb_trainable_parameters()[0]


def test_the_shipped_recipes_have_the_sizes_of_their_models() -> None:
    eight, three = (shipped(name)[1] for name in ("llm-gsm8k-8b", "llm-gsm8k-3b"))
    assert (eight.parameters, three.parameters) == (8_030_261_248, 3_212_749_824)
    assert eight.adapters(LoraSettings(rank=16)) == 41_943_040
    assert shipped("llm-math-8b")[1].parameters == eight.parameters
    tiny = settings(recipes.load("llm-tiny-trl"))
    assert tiny.scratch is not None
    assert sizes.size(tiny).parameters == tiny.scratch.parameters


def kept_bytes(model: Any, *, autocast: bool) -> int:
    """What a pass forward keeps of 2 x 64 tokens for the pass backward, weights and their copies left out."""
    shapes = {tuple(one.shape) for one in model.parameters()} | {tuple(one.shape)[::-1] for one in model.parameters()}
    found: dict[int, int] = {}
    held: list[torch.Tensor] = []  # so that no storage is freed, and its address taken again, while we count

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tuple(tensor.shape) not in shapes:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            held.append(tensor)
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        model(input_ids=torch.ones(2, 64, dtype=torch.long))
    return sum(found.values())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("mode", ["float32", "autocast", "bfloat16"])
def test_activations_are_what_a_pass_keeps(mode: str, checkpointing: bool, tmp_path: Path) -> None:
    def kept(layers: int) -> tuple[int, float]:
        config = LlamaConfig(
            vocab_size=100, hidden_size=256, intermediate_size=768, num_hidden_layers=layers, num_attention_heads=4,
            num_key_value_heads=2, use_cache=False,
        )  # fmt: skip
        config.save_pretrained(tmp_path)
        model: Any = LlamaModel(config)
        model.to(torch.bfloat16 if mode == "bfloat16" else torch.float32).train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        weights = "bfloat16" if mode == "bfloat16" else "float32"
        dtype = "bfloat16" if mode == "autocast" else "float32"
        own = f"model={{family: transformers, path: {tmp_path}, weights: {weights}}}"
        plan = MemoryPlan(*shipped("llm-tiny-trl", own, f"dtype={dtype}"), LENGTHS)
        counted = plan.activation_bytes(2 * 64, checkpointing=checkpointing)
        return kept_bytes(model, autocast=mode == "autocast"), counted

    (measured_3, counted_3), (measured_5, counted_5) = kept(3), kept(5)
    assert counted_5 - counted_3 == pytest.approx(measured_5 - measured_3, rel=0.02)  # of two blocks


def test_the_large_recipes_fit_what_they_say_and_sampling_is_bounded() -> None:
    chosen, size = shipped("llm-gsm8k-3b")
    found = {phase.name: phase for phase in MemoryPlan(chosen, size, LENGTHS).phases()}
    assert set(found) == {
        *("pretrain", "evaluation", "posttrain, sampling", "posttrain, updates", "continued_pretrain")
    }
    assert found["posttrain, updates"].states["AdamW"] == 8 * size.parameters
    assert sum(found["posttrain, sampling"].per_device.values()) <= settings(chosen).sampling_gib * GIB
    assert found["posttrain, updates"].fits(1)
    # All 512 rows of a round at once would not have fitted. By hand: 14 bytes a parameter for weights, their copy and
    # AdamW; 28 layers and a copied one of 8 heads of 128, keys of 4 bytes and values of 2; 5 rows of logits.
    by_hand = 14 * 3_212_749_824 + 512 * (500 * 29 * 1024 * 6 + 128_256 * 4 * 5)
    wide = MemoryPlan(*shipped("llm-gsm8k-3b", "model.sampling_gib=1000"), LENGTHS)
    everything = next(one for one in wide.phases() if one.name == "posttrain, sampling")
    assert not everything.fits(1)
    assert sum({**everything.states, **everything.per_device}.values()) == by_hand
    assert by_hand / GIB == pytest.approx(85.6, abs=0.05)


def test_a_dry_run_counts_memory_logits_and_disk() -> None:
    text = "\n".join(gpu_hours.plan(*shipped("llm-gsm8k-3b"), LENGTHS, measured="x"))
    disk = "checkpoints of 38.6 GB, two while one is written, models of 12.9 GB, two of each stage, at most 129 GB"
    assert f"{disk} together" in text
    for part in ("cache and logits of", "activations of", "gradients", "AdamW", "their bfloat16 copy"):
        assert part in text


def test_a_dry_run_counts_adapters() -> None:
    chosen = shipped("llm-gsm8k-8b", "model.lora.rank=16", "model.weights=bfloat16")
    text = "\n".join(gpu_hours.plan(*chosen, LENGTHS, measured="x"))
    assert "8.03 billion parameters, 41.9 million trained (adapters of rank 16)" in text
    assert "checkpoints of 0.503 GB" in text  # float32 adapters with two averages each
    assert "so it takes 1 device of 80 GB" in text


def test_a_dry_run_says_what_bfloat16_weights_round_away() -> None:
    text = "\n".join(gpu_hours.plan(*shipped("llm-gsm8k-8b", "model.weights=bfloat16"), LENGTHS, measured="x"))
    assert "a step of posttrain.lr=1.5e-06 changes 1.95%" in text


def test_the_disk_of_a_small_run_is_what_is_counted(tmp_path: Path) -> None:
    chosen = settings(small())
    size = sizes.size(chosen)
    model: Any = LlamaForCausalLM(loading.configuration(chosen))
    model.save_pretrained(tmp_path)
    written = (tmp_path / "model.safetensors").stat().st_size
    assert written == pytest.approx(4 * size.parameters, rel=0.05)


def test_the_baseline_is_planned_with_the_tokens_that_rl_processes() -> None:
    """RL samples prompt and response, and learns from both: twice the tokens of its updates."""
    lines = gpu_hours.plan(*shipped("llm-tiny-trl"), LENGTHS, measured="x")
    tokens = {line.partition(":")[0]: line for line in lines}
    updates = float(tokens["posttrain, updates"].split(": ")[1].split(" tokens")[0])
    baseline = float(tokens["continued_pretrain"].split(": ")[1].split(" tokens")[0])
    assert baseline == pytest.approx(2 * updates, rel=0.01)


def test_kept_checkpoints_are_on_the_disk() -> None:
    plans = [shipped("llm-tiny-trl"), shipped("llm-tiny-trl", "pretrain.keep={every: 200}")]
    disk = [gpu_hours.plan(*plan, LENGTHS, measured="x")[-1] for plan in plans]
    most = [float(line.split("at most ")[1].split(" GB")[0]) for line in disk]
    assert "7 kept checkpoints" in disk[1]
    assert most[1] - most[0] == pytest.approx(7 * 2 * 3 * 4 * plans[0][1].parameters / 1e9, rel=0.02)


def test_an_hour_is_what_a_gpu_does_in_it() -> None:
    """6 operations a parameter and token at 35 % of the rate, in sampling 2 at 5 %."""
    trained = Work("", GPU_FLOPS * 0.35 * 3600 / (6 * 1e9), per_token=6)
    sampled = Work("sampling", GPU_FLOPS * 0.05 * 3600 / (2 * 1e9), per_token=2, is_training=False)
    assert [work.hours(10**9) for work in (trained, sampled)] == [pytest.approx(1), pytest.approx(1)]
