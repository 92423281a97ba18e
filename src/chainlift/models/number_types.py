"""In which type this machine multiplies fastest: bfloat16 only where it has instructions for it.

Without them PyTorch multiplies bfloat16 several times slower than float32: 7 to 9 against 36 to 62 billion operations a
second on one core of a processor with AVX2 (PyTorch 2.13, matrices of SmolLM2-135M; docs/log.md, 2026-11-29).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # as torch.cpu.get_capabilities names them


def multiplies_bfloat16(device: str, capabilities: Mapping[str, Any] | None = None) -> bool:
    """Whether a device (cpu, cuda or mps) has instructions for products of bfloat16.

    capabilities: the processor's, by name; default: those of this machine. Processors and GPUs that nobody has measured
    (ARM's, Apple's) count as ones without.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    known = _capabilities() if capabilities is None else capabilities
    return any(known.get(name, False) for name in CPU_INSTRUCTIONS)


def _capabilities() -> Mapping[str, Any]:
    """This processor's instructions by name; older versions of PyTorch do not tell."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    return {} if ask is None else ask()


def fastest_weights() -> Literal["float32", "bfloat16"]:
    """The type of weights for this machine: its GPU's if PyTorch finds one, otherwise its processor's."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return "bfloat16" if multiplies_bfloat16(device) else "float32"


def slow_note(weights: str, device: str) -> str | None:
    """One line for the user if a device multiplies weights of this type slowly, otherwise None."""
    if weights != "bfloat16" or multiplies_bfloat16(device):
        return None
    return f"model.weights=bfloat16: this {device} has no instructions for it, float32 is several times faster here"
