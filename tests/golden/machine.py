"""What decides whether two machines must agree bit for bit: PyTorch's version, its kernels, and the bits they produce.

Kernels are chosen by the processor, and the libraries behind them (MKL, oneDNN) choose by more than PyTorch reports. So
a few operations are computed and their bits compared, too.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from importlib.metadata import version

import torch
import torch.nn.functional as F
from torch import Tensor

LIBRARIES = ("transformers", "trl", "accelerate", "tokenizers", "peft")  # that carry out a language model's run


def describe(*, language: bool) -> dict[str, str]:
    """PyTorch's version, the kernels it uses, and a digest of what they compute; of language runs other versions, too.

    Numbers recorded under an equal description must come out equal, bit for bit.
    """
    kernels = [platform.machine(), torch.backends.cpu.get_cpu_capability()]
    kernels += ["MKL"] * torch.backends.mkl.is_available() + ["oneDNN"] * torch.backends.mkldnn.is_available()
    kernels += ["AMX"] * torch.cpu._is_amx_tile_supported()
    described = {"torch": torch.__version__, "kernels": " ".join(kernels), "arithmetic": arithmetic()}
    return described | ({name: version(name) for name in LIBRARIES} if language else {})


def arithmetic() -> str:
    """Twelve hexadecimal digits of the bits that one thread computes in operations such as the runs are made of."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        digest = hashlib.blake2b(digest_size=6)
        for result in _results():
            digest.update(result.detach().float().numpy().tobytes())
        return digest.hexdigest()
    finally:
        torch.set_num_threads(threads)


def _results() -> Iterator[Tensor]:
    """Products, reductions and functions, with their gradients, at the shapes of the golden runs."""
    draws = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws).requires_grad_()

    def layers(x: Tensor, weight: Tensor, bias: Tensor) -> Iterator[Tensor]:
        y = F.linear(x, weight, bias)
        normed = F.layer_norm(y, y.shape[1:]) + F.rms_norm(y, y.shape[1:])
        logits = F.linear(F.gelu(normed, approximate="tanh") + F.silu(normed), weight.T)
        value = F.cross_entropy(logits, torch.arange(len(x)) % logits.shape[1])
        yield from (y, normed, logits, *torch.autograd.grad(value, (x, weight, bias)))

    def attended(queries: Tensor, keys: Tensor, values: Tensor) -> Iterator[Tensor]:
        y = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        yield from (y, *torch.autograd.grad(y.square().sum(), (queries, keys, values)))

    for bfloat16 in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            for rows, inner, columns in ((1, 16, 48), (7, 16, 3), (64, 32, 96), (208, 16, 64), (208, 64, 16)):
                yield from layers(drawn(rows, inner), drawn(columns, inner), drawn(columns))
            yield from attended(drawn(16, 2, 9, 8), drawn(16, 2, 9, 8), drawn(16, 2, 9, 8))
    matrices = drawn(4, 16, 64)
    grams = matrices @ matrices.mT
    yield torch.baddbmm(grams, grams, grams)
    x = drawn(1000)
    yield from (x.exp(), x.cos(), x.sigmoid(), x.log_softmax(0), x.logsumexp(0), x.sum(), x.std(), x.norm())
