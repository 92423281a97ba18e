"""Attention by plain products against the fused kernel, with and without a mask, and when it is taken."""

from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from chainlift.models.transformer import attention
from chainlift.models.transformer.attention import Attention
from chainlift.seeding import stream


@pytest.mark.parametrize("prefix", [0, 3])
def test_products_equal_the_fused_kernel_and_its_gradients(prefix: int) -> None:
    shape = (2, 3, 5, 8)
    query, keys, values = (
        torch.empty(shape[0], shape[1], length, shape[3]).normal_(generator=stream(i, "qkv")).requires_grad_()
        for i, length in enumerate((5, 5 + prefix, 5 + prefix))
    )
    mask = torch.ones(5, 5 + prefix, dtype=torch.bool).tril(prefix) if prefix else None
    ours = attention._product_attention(query, keys, values, mask)
    fused = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, is_causal=mask is None)
    torch.testing.assert_close(ours, fused, atol=1e-6, rtol=1e-5)
    weights = torch.empty(shape).normal_(generator=stream(9, "weights"))
    for one, two in zip(
        torch.autograd.grad((ours * weights).sum(), (query, keys, values)),
        torch.autograd.grad((fused * weights).sum(), (query, keys, values)),
        strict=True,
    ):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_taken_for_short_sequences_and_give_what_the_kernel_gives(
    dtype: torch.dtype, gradient: bool
) -> None:
    layer, taken = Attention(16, 4, 2, bias=False), []
    with torch.set_grad_enabled(gradient), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        limit = attention._max_product_positions(dtype)
        for length in (limit, limit + 1):
            x = torch.empty(2, length, 16).normal_(generator=stream(0, "x"))
            query, keys, values = layer.split(layer.qkv(x), None)
            with mock.patch.object(attention, "_product_attention", wraps=attention._product_attention) as products:
                found = layer.attend(query, keys, values)
            taken.append(products.call_count)
            with mock.patch.object(attention, "_max_product_positions", return_value=0):
                by_kernel = layer.attend(query, keys, values)
            tolerance = 3e-2 if dtype == torch.bfloat16 else 1e-6
            torch.testing.assert_close(found, by_kernel, atol=tolerance, rtol=0)
    assert taken == [1, 0]


@pytest.mark.parametrize("allowed", [False, True])
def test_a_kernel_that_is_planned_for_each_shape_is_not_taken(allowed: bool) -> None:
    """What PyTorch may choose from is looked at where it chooses; what a user has allowed is left as it was."""
    layer, seen = Attention(16, 4, 2, bias=False), []
    kernel, before = F.scaled_dot_product_attention, torch.backends.cuda.cudnn_sdp_enabled()

    def watched(*arguments: Any, **options: Any) -> torch.Tensor:
        seen.append((torch.backends.cuda.cudnn_sdp_enabled(), torch.backends.cuda.flash_sdp_enabled()))
        return kernel(*arguments, **options)

    torch.backends.cuda.enable_cudnn_sdp(allowed)
    try:
        query, keys, values = layer.split(layer.qkv(torch.zeros(2, 6, 16)), None)
        with (
            mock.patch.object(attention, "_max_product_positions", return_value=0),
            mock.patch.object(F, "scaled_dot_product_attention", watched),
        ):
            layer.attend(query, keys, values)
        assert seen == [(False, True)]
        assert torch.backends.cuda.cudnn_sdp_enabled() == allowed
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
