"""bfloat16 weights and small rates: the share that a step can change is measured and said; none is refused."""

from pathlib import Path

import pytest
import torch

from chainlift.models.pretrained import loading, rounding
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.shapes import ScratchSettings
from chainlift.report.terminal.reporter import Reporter
from tests.stages.trl.small_text import context, small

TEXTS = ["Question: Anna has 12 apples.\nAnswer: #### 12"]
SCRATCH = ScratchSettings(layers=2, width=64, heads=2, mlp=128, context=64, vocabulary=300)


@pytest.mark.parametrize("lr", [1e-7, 1e-6, 1e-5, 1e-4])
def test_the_share_is_that_of_a_real_step_of_adamw(lr: float) -> None:
    model, tokenizer = loading.load(PretrainedSettings(scratch=SCRATCH, weights="bfloat16"), TEXTS, seed=0)
    assert model.dtype == torch.bfloat16
    expected = rounding.changeable_share(model.parameters(), lr)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    ids = torch.randint(len(tokenizer), (16, 32), generator=torch.Generator().manual_seed(0))
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    pairs = list(zip(before, model.parameters(), strict=True))
    changed = sum(int(((old != new) & (old != 0)).sum()) for old, new in pairs)
    count = sum(int((old != 0).sum()) for old in before)
    assert changed / count == pytest.approx(expected, rel=0.03)
    if lr < 1e-4:
        assert rounding.changeable_share_of_normal(lr) == pytest.approx(expected, rel=0.15)


def test_half_a_unit_by_hand() -> None:
    weights = torch.tensor([1.0, 1.5, 0.75, -2.0])
    # Between 1 and 2 bfloat16 numbers lie 2^-7 apart.
    expected = [2**-8, 2**-8, 2**-9, 2**-7]
    assert rounding.half_unit(weights, torch.bfloat16).tolist() == expected
    for weight, half in zip(weights.tolist(), expected, strict=True):
        one = torch.tensor(weight, dtype=torch.bfloat16)
        away = weight / abs(weight) * half
        assert torch.tensor(weight + away * 0.99, dtype=torch.bfloat16) == one
        assert torch.tensor(weight + away * 1.01, dtype=torch.bfloat16) != one


def said(tmp_path: Path, *overrides: str, lr: float) -> list[str]:
    lines: list[str] = []
    reporter = Reporter(quiet=True)
    reporter.say = lines.append  # type: ignore[method-assign]
    one = context(tmp_path, small(*overrides), reporter)
    one.check_rounding(one.new_model()[0], lr, "posttrain.lr")
    return lines


def test_a_rate_that_changes_few_weights_is_said_with_the_figure(tmp_path: Path) -> None:
    (line,) = said(tmp_path, "model.weights=bfloat16", lr=1e-6)
    assert line.startswith("warning: posttrain.lr=1e-06 is below half a unit in the last place of 9")
    assert "use model.weights=float32, or model.lora.rank=16" in line


def test_a_rate_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"posttrain\.lr=1e-11 is below half a unit .* or a higher rate"):
        said(tmp_path, "model.weights=bfloat16", lr=1e-11)


@pytest.mark.parametrize("overrides", [(), ("model.weights=bfloat16", "model.lora.rank=2")])
def test_float32_weights_and_adapters_are_left_alone(overrides: tuple[str, ...], tmp_path: Path) -> None:
    assert said(tmp_path, *overrides, lr=1e-11) == []


def test_coarse_weights_with_a_large_rate_are_left_alone(tmp_path: Path) -> None:
    assert said(tmp_path, "model.weights=bfloat16", lr=1e-2) == []
