"""Where bfloat16 is multiplied fast, and what `model.weights=auto` becomes."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from chainlift.models import number_types
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.stages import recipe as recipes
from tests.in_process import command
from tests.stages.text.small_engine_text import run, written

NO_MORE = ("posttrain=null", "continued_pretrain=null", "pretrain.steps=1")

AVX2 = {"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}


def on_processor(monkeypatch: pytest.MonkeyPatch, **capabilities: bool | str) -> None:
    """Let PyTorch find no GPU, and a processor with AVX2 and these capabilities."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(AVX2 | capabilities), raising=False)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, None),
        ({"architecture": "arm64", "bf16": True}, None),
        (AVX2, False),
        (AVX2 | {"avx512_bf16": True}, True),
        (AVX2 | {"amx_bf16": True}, True),
    ],
)
def test_a_processor_needs_instructions(capabilities: dict[str, bool | str], expected: bool | None) -> None:
    assert number_types.multiplies_bfloat16("cpu", capabilities) is expected


def test_of_a_device_that_nobody_has_measured_it_is_not_known() -> None:
    assert number_types.multiplies_bfloat16("mps", {"amx_bf16": True}) is None


@pytest.mark.parametrize(("has_amx", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_resolved_when_settings_are_read(monkeypatch: pytest.MonkeyPatch, has_amx: bool, expected: str) -> None:
    on_processor(monkeypatch, amx_bf16=has_amx)
    assert LlamaSettings.model_validate({"weights": "auto"}).weights == expected
    assert LlamaSettings.model_validate({"weights": "bfloat16"}).weights == "bfloat16"


def test_where_it_is_not_known_weights_are_float32_and_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    on_processor(monkeypatch)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)  # as in older versions of PyTorch
    assert number_types.fastest_weights() == "float32"
    assert number_types.slow_note({"dtype": "bfloat16"}, "cpu") is None


@pytest.mark.parametrize("key", ["dtype", "model.weights"])
def test_a_run_names_what_is_slow_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str) -> None:
    on_processor(monkeypatch)
    typed = ("run", written(tmp_path), *NO_MORE, f"{key}=bfloat16", "--out")
    assert f"{key}=bfloat16: this cpu has no instructions for it" in command(*typed, tmp_path / "slow").err
    on_processor(monkeypatch, avx512_bf16=True)
    assert "no instructions" not in command(*typed, tmp_path / "fast").err


def test_a_run_keeps_the_type_that_auto_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_processor(monkeypatch, amx_bf16=True)
    _, folder = run(tmp_path, *NO_MORE, "model.weights=auto")
    on_processor(monkeypatch)
    file = folder.path / "recipe.yaml"
    assert "weights: bfloat16" in file.read_text(encoding="utf-8")
    assert recipes.load(str(file)).model.model_dump()["weights"] == "bfloat16"
