"""Decoding on a GPU: one step is recorded as a CUDA graph and replayed, so that Python launches nothing token by token.

A recorded step reads and writes the same memory each time, which is what a decoder with `fixed_shapes` does. When rows
leave the batch the shapes change and a later step is recorded anew. Recording costs as much as several plain steps, so
only a batch that keeps its shapes for some steps is worth it. A run makes plain steps: recording took more time than it
saved where that was measured (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from chainlift.models.transformer.decoding import TransformerDecoder

RECORD_AFTER = 10  # plain steps in the same shapes: about what recording costs, so it never costs more than twice
WARM_UP = 2  # steps before recording: libraries allocate their workspaces in the first ones

_after: int | None = None  # plain steps in the same shapes before one is recorded; None: none is


@contextmanager
def replaying(after: int = RECORD_AFTER) -> Iterator[None]:
    """Decoders on a GPU that are made inside the block replay steps, recorded `after` plain ones in the same shapes."""
    global _after
    before, _after = _after, after
    try:
        yield
    finally:
        _after = before


def recording_after(device: torch.device) -> int | None:
    """After how many plain steps a decoder on a device records one; None: it makes plain steps only."""
    return _after if device.type == "cuda" else None


class GraphedDecoder:
    """A decoder with fixed shapes whose steps are replayed from a CUDA graph."""

    def __init__(self, decoder: TransformerDecoder, after: int) -> None:
        assert decoder.fixed_shapes
        self.decoder, self.after = decoder, after
        self._graph: torch.cuda.CUDAGraph | None = None
        self._plain = 0  # steps since the shapes changed
        self._tokens = self._logits = torch.empty(0)

    def step(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after appending tokens (B,)."""
        if self.decoder.length == 0:  # made once in its shape, as rows are spread after it
            return self.decoder.step(tokens)
        if self._graph is None and self._plain < self.after:
            self._plain += 1
            return self.decoder.step(tokens)
        if self._graph is None:
            self._record(tokens)
        assert self._graph is not None
        self._tokens.copy_(tokens)
        self._graph.replay()
        self.decoder.length += 1
        return self._logits.clone()

    def spread(self, group_size: int) -> None:
        """Go on with `group_size` rows in place of each."""
        self.decoder.spread(group_size)
        self._graph, self._plain = None, 0

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (B',) only."""
        self.decoder.keep(rows)
        self._graph, self._plain = None, 0

    def _record(self, tokens: Tensor) -> None:
        """Record one step. Every step made for that is taken back at once, as there may be room for one step only."""
        decoder, length, place = self.decoder, self.decoder.length, self.decoder.place.clone()
        self._tokens = tokens.clone()

        def step() -> Tensor:
            logits = decoder.step(self._tokens)
            decoder.length = length
            return logits

        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                step()
                decoder.place.copy_(place)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = step()
        decoder.place.copy_(place)
