"""Rows of unequal length without their padding: what treats tokens one by one treats only real tokens.

Norms, matrix products and MLPs see (1, N, D), the N real tokens of all rows. Attention alone sees (B, S, D), with
copies of some real token as padding: no real token attends to them, and nothing reads what they attend to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Packing:
    """Where N real tokens stand in B rows of S columns."""

    shape: tuple[int, int]
    """(B, S)."""
    place: Tensor
    """(N,) of each real token in the flattened rows."""
    source: Tensor
    """(B S,) the real token that stands at each place, any one where there is none."""

    @staticmethod
    def of(is_real: Tensor) -> Packing:
        """The packing of rows whose real tokens are where is_real (B, S) is True."""
        batch, length = is_real.shape
        source = (is_real.flatten().cumsum(0) - 1).clamp_(min=0)
        return Packing((batch, length), is_real.flatten().nonzero()[:, 0], source)

    def spread(self, x: Tensor) -> Tensor:
        """(1, N, X) to (B, S, X)."""
        return cast(Tensor, _Moved.apply(x[0], self.source, self.place)).view(*self.shape, -1)

    def gather(self, x: Tensor, chosen: Tensor | None = None) -> Tensor:
        """(B, S, X) to (1, N, X), or only the `chosen` (n,) of the N tokens."""
        place = self.place if chosen is None else self.place[chosen]
        return cast(Tensor, _Moved.apply(x.flatten(0, 1), place, None))[None]


class _Moved(torch.autograd.Function):
    """Rows `index` of x (N, X); if `back` is given, each row's gradient is that of the copy with this number alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, back: Tensor | None) -> Tensor:
        ctx.save_for_backward(index, back)
        ctx.rows = len(x)
        return x.index_select(0, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad,), (index, back) = grad_outputs, ctx.saved_tensors
        if back is not None:
            return grad.index_select(0, back), None, None
        return grad.new_zeros(ctx.rows, grad.shape[1]).index_copy_(0, index, grad), None, None
