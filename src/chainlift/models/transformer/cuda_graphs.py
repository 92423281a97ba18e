"""Decoding with CUDA graphs: one step is recorded and replayed, so that Python launches no kernels token by token.

A recorded step reads and writes the same memory each time, as a decoder with `fixed_shapes` does. When rows leave the
batch the shapes change and a later step is recorded anew. Recording costs as much as several plain steps, so it pays
only in batches that keep their shapes for some steps. Runs make plain steps: recording took more time than it saved
wherever that was measured (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from chainlift.models.transformer.decoding import TransformerDecoder

RECORD_AFTER = 10  # plain steps in the same shapes: about what recording costs, so it never costs more than twice
WARM_UP = 2  # steps before recording: libraries allocate their workspaces in the first ones

_after: int | None = None  # plain steps in the same shapes before one is recorded; None: never record


@contextmanager
def replaying(after: int = RECORD_AFTER) -> Iterator[None]:
    """Make decoders, created on a GPU inside the block, replay a step that is recorded `after` plain ones."""
    global _after
    before, _after = _after, after
    try:
        yield
    finally:
        _after = before


def recording_after(device: torch.device) -> int | None:
    """Number of plain steps after which a decoder on a device records one; None: it never does."""
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
        if self.decoder.length == 0:  # the first step's shape occurs only once, as rows are spread after it
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
        """Repeat each row `group_size` times."""
        self.decoder.spread(group_size)
        self._graph, self._plain = None, 0

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows (B',)."""
        self.decoder.keep(rows)
        self._graph, self._plain = None, 0

    def _record(self, tokens: Tensor) -> None:
        """Record one step. Each step made for that is undone at once, as there may be room for one step only."""
        decoder, length, place = self.decoder, self.decoder.length, self.decoder.place.clone()
        self._tokens = tokens.clone()

        def step() -> Tensor:
            logits = decoder.step(self._tokens)
            decoder.length = length
            return logits

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step()
                decoder.place.copy_(place)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = step()
        decoder.place.copy_(place)
