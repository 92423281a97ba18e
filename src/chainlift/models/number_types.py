"""In which type this machine multiplies fastest: bfloat16 only where it has instructions for it.

Without them PyTorch multiplies bfloat16 two to nine times slower than float32 (PyTorch 2.13, one core of a processor
with AVX2, matrices of SmolLM2-135M; docs/log.md, 2026-11-29).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")  # as torch.cpu.get_capabilities names them


def multiplies_bfloat16(device: str, capabilities: Mapping[str, Any] | None = None) -> bool | None:
    """Whether a device (cpu, cuda or mps) has instructions for products of bfloat16; None: not known.

    capabilities: the processor's, by name; default: those of this machine. Nobody has measured ARM's processors and
    Apple's GPU, and older versions of PyTorch do not name a processor's capabilities.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return None
    known = getattr(torch.cpu, "get_capabilities", dict)() if capabilities is None else capabilities
    if known.get("architecture") != "x86_64":
        return None
    return any(known.get(name, False) for name in CPU_INSTRUCTIONS)


def fastest_weights() -> Literal["float32", "bfloat16"]:
    """The type of weights for this machine: its GPU's if PyTorch finds one, otherwise its processor's."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return "bfloat16" if multiplies_bfloat16(device) else "float32"


def slow_note(types: Mapping[str, str], device: str) -> str | None:
    """One line for the user if a device is known to multiply one of the types {key: type} slowly, otherwise None."""
    keys = [f"{key}=bfloat16" for key, value in types.items() if value == "bfloat16"]
    if not keys or multiplies_bfloat16(device) is not False:
        return None
    return f"{' and '.join(keys)}: this {device} has no instructions for it; float32 is faster here"
