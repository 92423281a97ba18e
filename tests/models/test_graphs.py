"""Recorded steps without a GPU: replaying is imitated by making the recorded step again, everything else is real.

What a GPU alone can tell stands in tests/test_cuda.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from chainlift.models.protocol import Cache
from chainlift.models.transformer.cuda_graphs import (
    RECORD_AFTER,
    WARM_UP,
    GraphedDecoder,
    recording_after,
    replaying,
)
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from tests.models.test_decoding import PROMPT, VOCABULARY, decoder, make

ROWS = 5
TRANSFORMER = "chainlift.models.transformer.transformer"


class Recording:
    """Stands for a CUDA graph: it makes a decoder's step on the tensors that the recorded one had."""

    def __init__(self) -> None:
        self.owner: GraphedDecoder | None = None

    def replay(self) -> None:
        assert self.owner is not None
        length = self.owner.decoder.length
        self.owner._logits.copy_(self.owner.decoder.step(self.owner._tokens))
        self.owner.decoder.length = length  # a replay runs no Python


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    """The recordings made so far, on a machine whose CUDA streams and graphs are imitated."""
    made: list[Recording] = []

    class Stream:
        def wait_stream(self, other: Any) -> None:
            pass

    @contextmanager
    def inside(recording: Any) -> Iterator[None]:
        if isinstance(recording, Recording):
            made.append(recording)
        yield

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", inside)
    monkeypatch.setattr(torch.cuda, "graph", inside)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    record = GraphedDecoder._record

    def with_owner(self: GraphedDecoder, tokens: torch.Tensor) -> None:
        record(self, tokens)
        made[-1].owner = self

    monkeypatch.setattr(GraphedDecoder, "_record", with_owner)
    return made


def both(
    model: Transformer, capacity: int, monkeypatch: pytest.MonkeyPatch, after: int = 0
) -> tuple[Any, GraphedDecoder]:
    """(the usual decoder, one that records after some plain steps) of the same prefixes, for `capacity` tokens."""
    monkeypatch.setattr("tests.models.test_decoding.RESPONSE", capacity)
    prefix = torch.randint(VOCABULARY, (ROWS, PROMPT), generator=stream(0, "prefix"))
    usual, fixed = (decoder(model, prefix, 1, fixed_shapes=is_fixed) for is_fixed in (False, True))
    return usual, GraphedDecoder(fixed, after)


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
@pytest.mark.parametrize("capacity", [2, 3, 5])
def test_replayed_steps_give_equal_logits_up_to_the_last_token(
    family: str, capacity: int, recorded: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows leave before the last token, so that a step is recorded where there is room for one token alone."""
    model = make(family)
    tokens = torch.randint(VOCABULARY, (ROWS, capacity), generator=stream(0, "tokens"))
    with torch.no_grad():
        usual, replayed = both(model, capacity, monkeypatch)
        for column in range(capacity):
            if column == capacity - 1:
                kept = torch.arange(0, ROWS, 2)
                usual.keep(kept)
                replayed.keep(kept)
                tokens = tokens[kept]
            found = replayed.step(tokens[:, column])
            torch.testing.assert_close(found, usual.step(tokens[:, column]), atol=1e-6, rtol=1e-5)
    assert replayed.decoder.length == capacity
    assert len(recorded) == (1 if capacity == 2 else 2)
    assert WARM_UP > 0


def test_a_step_is_recorded_once_the_shapes_have_lasted(
    recorded: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step is plain by nature, and three more after it and after each change of the rows."""
    columns = 12
    monkeypatch.setattr("tests.models.test_decoding.RESPONSE", columns)  # the model's context has room for them
    model = make("gpt2")
    tokens = torch.randint(VOCABULARY, (ROWS, columns), generator=stream(0, "tokens"))
    made = []
    with torch.no_grad():
        usual, replayed = both(model, columns, monkeypatch, after=3)
        for column in range(columns):
            if column == 6:
                kept = torch.arange(0, ROWS, 2)
                usual.keep(kept)
                replayed.keep(kept)
                tokens = tokens[kept]
            found = replayed.step(tokens[:, column])
            torch.testing.assert_close(found, usual.step(tokens[:, column]), atol=1e-6, rtol=1e-5)
            made.append(len(recorded))
    assert made == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2]


def test_a_decoder_on_a_gpu_records_only_inside_replaying(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("gpt2")

    class OnGpu:
        """Keys that say they are on a GPU."""

        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor, self.device, self.shape = tensor, torch.device("cuda"), tensor.shape

    monkeypatch.setattr(f"{TRANSFORMER}.TransformerDecoder", lambda *_, fixed_shapes: fixed_shapes)
    monkeypatch.setattr(f"{TRANSFORMER}.GraphedDecoder", lambda fixed, after: ("graphed", fixed, after))
    keys: Any = OnGpu(torch.zeros(1, 1, 1, 1))
    cache = Cache([(keys, keys)])
    assert model.decoder(cache, 3) is False
    with replaying():
        assert model.decoder(cache, 3) == ("graphed", True, RECORD_AFTER)
        with replaying(after=0):
            assert model.decoder(cache, 3) == ("graphed", True, 0)
        keys = torch.zeros(1, 1, 1, 1)
        cache = Cache([(keys, keys)])
        assert model.decoder(cache, 3) is False, "nothing is recorded without a GPU"
    assert recording_after(torch.device("cuda")) is None
