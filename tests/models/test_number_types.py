"""Where bfloat16 is multiplied fast, and what `model.weights=auto` becomes."""

from __future__ import annotations

from types import MappingProxyType

import pytest
import torch

from chainlift.models import number_types
from chainlift.models.transformer.llama_settings import LlamaSettings


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, False),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
    ],
)
def test_a_processor_needs_instructions(capabilities: dict[str, bool], expected: bool) -> None:
    assert number_types.multiplies_bfloat16("cpu", capabilities) is expected


def test_a_device_that_nobody_has_measured_has_none() -> None:
    assert not number_types.multiplies_bfloat16("mps", {"amx_bf16": True})


@pytest.mark.parametrize(("has_amx", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_resolved_when_settings_are_read(monkeypatch: pytest.MonkeyPatch, has_amx: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType({"amx_bf16": has_amx}), raising=False)
    assert LlamaSettings.model_validate({"weights": "auto"}).weights == expected
    assert LlamaSettings.model_validate({"weights": "bfloat16"}).weights == "bfloat16"


def test_older_versions_of_pytorch_do_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not number_types.multiplies_bfloat16("cpu")


def test_weights_that_are_slow_here_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert number_types.slow_note("float32", "cpu") is None
    assert "float32 is several times faster" in str(number_types.slow_note("bfloat16", "cpu"))
