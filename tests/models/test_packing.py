"""Rows without their padding: moved back and forth, and gradients that ignore the padding."""

import torch

from chainlift.models.transformer.packing import Packing
from chainlift.seeding import stream

IS_REAL = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]).bool()


def test_what_is_spread_is_gathered_again() -> None:
    packing, x = Packing.of(IS_REAL), torch.arange(16.0).view(1, 8, 2)
    rows = packing.spread(x)
    assert rows.shape == (3, 4, 2)
    assert torch.equal(rows[IS_REAL], x[0])
    assert torch.equal(packing.gather(rows), x)
    assert torch.equal(packing.gather(rows, torch.tensor([6, 1])), x[:, [6, 1]])


def test_gradients_are_those_of_a_masked_sum() -> None:
    packing = Packing.of(IS_REAL)
    slopes = torch.empty(3, 4, 2).normal_(generator=stream(0, "slopes"))
    x = torch.zeros(1, 8, 2, requires_grad=True)
    (packing.spread(x) * slopes * IS_REAL[..., None]).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad[0], slopes[IS_REAL])
    rows = torch.zeros(3, 4, 2, requires_grad=True)
    (packing.gather(rows) * slopes[IS_REAL]).sum().backward()
    assert rows.grad is not None
    assert torch.equal(rows.grad, slopes * IS_REAL[..., None])
