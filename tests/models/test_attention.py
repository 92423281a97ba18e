"""Attention by plain products against the fused kernel, with and without a mask, and when it is taken."""

from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from chainlift.models import attention
from chainlift.models.attention import Attention
from chainlift.seeding import stream


@pytest.mark.parametrize("prefix", [0, 3])
def test_products_equal_the_fused_kernel_and_its_gradients(prefix: int) -> None:
    shape = (2, 3, 5, 8)
    query, keys, values = (
        torch.empty(shape[0], shape[1], length, shape[3]).normal_(generator=stream(i, "qkv")).requires_grad_()
        for i, length in enumerate((5, 5 + prefix, 5 + prefix))
    )
    mask = torch.ones(5, 5 + prefix, dtype=torch.bool).tril(prefix) if prefix else None
    ours = attention._by_products(query, keys, values, mask)
    fused = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, is_causal=mask is None)
    torch.testing.assert_close(ours, fused, atol=1e-6, rtol=1e-5)
    weights = torch.empty(shape).normal_(generator=stream(9, "weights"))
    for one, two in zip(
        torch.autograd.grad((ours * weights).sum(), (query, keys, values)),
        torch.autograd.grad((fused * weights).sum(), (query, keys, values)),
        strict=True,
    ):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "times"), [(torch.bfloat16, 1), (torch.float32, 0)])
def test_products_are_taken_in_bfloat16_where_there_is_a_gradient(dtype: torch.dtype, times: int) -> None:
    layer = Attention(16, 4, 2, bias=False)
    x = torch.empty(2, 6, 16).normal_(generator=stream(0, "x"))

    def run() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            query, keys, values = layer.split(layer.qkv(x), None)
            return layer.attend(query, keys, values)

    with mock.patch.object(attention, "_by_products", wraps=attention._by_products) as taken:
        with_gradient = run()
        assert taken.call_count == times
        with torch.no_grad():
            without = run()
        assert taken.call_count == times
    torch.testing.assert_close(with_gradient.float(), without.float(), atol=3e-2 if times else 1e-6, rtol=0)
