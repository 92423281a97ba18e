"""Checkpoint folders open in the real transformers, with the same logits and the same tokens."""

import json
from pathlib import Path

import pytest
import torch

from chainlift.models.hub import model_folder
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings

FAMILIES = ["gpt2", "mistral"]


def make(family: str, modulus: int = 2) -> tuple[Transformer, RunningSum]:
    task = RunningSum(RunningSumSettings(d=10, modulus=modulus))
    settings = ModelSettings.model_validate({"family": family, "layers": 2, "width": 32, "heads": 4})
    model = Transformer(settings, task.vocabulary.size, 21).initialize(stream(0, "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model, task


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_gives_the_same_logits(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model, task = make(family)
    model_folder.save(model, task, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    sequence = torch.randint(3, (4, 21), generator=stream(0, "tokens"))
    with torch.no_grad():
        ours = model.logits(model.prefill(sequence[:, :9]), sequence[:, 9:])
        torch.testing.assert_close(theirs(sequence).logits[:, 9:], ours, atol=1e-4, rtol=0)
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_configuration_names_the_end_of_sequence(family: str, tmp_path: Path) -> None:
    model, task = make(family)
    model_folder.save(model, task, tmp_path)
    configuration = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert {configuration[f"{name}_token_id"] for name in ("bos", "eos", "pad")} == {task.vocabulary.eos}


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_generates_the_same_greedy_answers(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from chainlift.learning.rollout import sample

    model, task = make(family)
    model_folder.save(model, task, tmp_path)
    theirs, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    prompts = task.prompts(6, stream(0, "prompts"))
    batch = tokenizer([task.vocabulary.decode(prompt) for prompt in prompts], return_tensors="pt")
    assert torch.equal(batch["input_ids"], prompts)
    generated = theirs.generate(  # pyright: ignore[reportAttributeAccessIssue]
        **batch, max_new_tokens=11, do_sample=False
    )[:, 10:]
    ours = sample(model, prompts, eos=task.vocabulary.eos, max_tokens=11).responses
    assert torch.equal(generated, ours)


@pytest.mark.parametrize("modulus", [2, 12])
def test_the_tokenizer_is_exact_in_both_directions(modulus: int, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model, task = make("gpt2", modulus)
    model_folder.save(model, task, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    prompt = task.prompts(1, stream(0, "prompts"))[0]
    assert tokenizer(task.vocabulary.decode(prompt))["input_ids"] == prompt.tolist()
    assert tokenizer.decode(prompt) == task.vocabulary.decode(prompt)
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == task.vocabulary.eos
    assert len(tokenizer) == task.vocabulary.size


@pytest.mark.parametrize("family", FAMILIES)
def test_loading_gives_back_the_same_bits(family: str, tmp_path: Path) -> None:
    model, task = make(family)
    model_folder.save(model, task, tmp_path)
    loaded, same_task = model_folder.load(tmp_path)
    assert same_task.settings == task.settings
    assert loaded.settings == model.settings
    own = model.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in loaded.state_dict().items())


def test_damage_is_named(tmp_path: Path) -> None:
    model, task = make("gpt2")
    model_folder.save(model, task, tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        model_folder.load(tmp_path)
    weights.write_bytes(whole)
    config = tmp_path / "config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    del content["chainlift"]
    config.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.json is damaged or was not written by chainlift"):
        model_folder.load(tmp_path)
    config.unlink()
    with pytest.raises(ValueError, match="is missing"):
        model_folder.load(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_that_transformers_saved_comes_back(family: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model, task = make(family)
    (tmp_path / "ours").mkdir()
    model_folder.save(model, task, tmp_path / "ours")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.bfloat16)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert len(list((tmp_path / "theirs").glob("model-*.safetensors"))) > 1
    loaded, same_task = model_folder.load(tmp_path / "theirs")
    assert same_task.settings == task.settings
    own = model.state_dict()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, own[name].bfloat16().float()), name
    shard = next((tmp_path / "theirs").glob("model-*.safetensors"))
    shard.unlink()
    with pytest.raises(ValueError, match=rf"index\.json is damaged.*{shard.name}"):
        model_folder.load(tmp_path / "theirs")


def test_adapters_come_back_once_they_are_merged(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model, task = make("mistral")
    (tmp_path / "ours").mkdir()
    model_folder.save(model, task, tmp_path / "ours")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", dtype=torch.float32)
    adapted = get_peft_model(theirs, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(str(tmp_path / "adapters"))
    with pytest.raises(ValueError, match="holds adapters only: merge them"):
        model_folder.load(tmp_path / "adapters")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")  # pyright: ignore[reportCallIssue]
    loaded, _ = model_folder.load(tmp_path / "merged")
    name = "blocks.0.mlp.down.weight"
    assert not torch.equal(loaded.state_dict()[name], model.state_dict()[name])
