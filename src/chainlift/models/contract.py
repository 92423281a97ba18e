"""What is wrong with a model family from elsewhere, found before anything is trained with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from chainlift.models.model import Model
from chainlift.models.shapes import shapes_only
from chainlift.visible import one_line

TRIED_BELOW = 2**24  # parameters: a larger model takes too long to be made once more
ROWS, STEPS = 2, 3
CLOSE = 1e-3  # of the largest logit


def complaint(family: type[Model], settings: Any, vocabulary_size: int, prompt_length: int, context: int) -> str | None:
    """In words, the first thing that a small trial of the family finds wrong; None if all is well."""
    try:
        with shapes_only():
            large = sum(p.numel() for p in family(settings, vocabulary_size, context).parameters()) > TRIED_BELOW
        if large:
            return None
        models = [_made(family, settings, vocabulary_size, context) for _ in range(2)]
        tokens = torch.randint(vocabulary_size, (ROWS, context - 1), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            return next(_complaints(models, tokens, prompt_length - 1), None)
    except Exception as error:  # whatever a stranger's model raises
        return f"{type(error).__name__}: {one_line(str(error))}"


def _made(family: type[Model], settings: Any, vocabulary_size: int, context: int) -> Model:
    return family(settings, vocabulary_size, context).initialize(torch.Generator().manual_seed(0)).eval()


def _complaints(models: list[Model], tokens: Tensor, start: int) -> Iterator[str]:
    model, again = models
    if not any(True for _ in model.parameters()):
        yield "it has no parameters"
    state = again.state_dict()
    for name, value in model.state_dict().items():
        if not torch.equal(value, state[name]):
            yield f"{name} differs from call to call of initialize with the same generator"
    logits = model.read(tokens, start)
    wanted = (len(tokens), tokens.shape[1] - start, model.vocabulary_size)
    if tuple(logits.shape) != wanted:
        yield f"read gives logits of the shape {tuple(logits.shape)}, not (B, S - start, V) = {wanted}"
    later = tokens.clone()
    later[:, -1] = (later[:, -1] + 1) % model.vocabulary_size
    if not _close(model.read(later, start)[:, :-1], logits[:, :-1]):
        yield "logits depend on later tokens"
    prefix, suffix = tokens[:, :start], tokens[:, start:]
    if not _close(model.logits(model.prefill(prefix), suffix), logits):
        yield "logits after prefill differ from those of read"
    decoder = model.decoder(model.prefill(prefix), suffix.shape[1])
    decoder.spread(2)
    for step in range(min(STEPS, suffix.shape[1])):
        found = decoder.step(suffix[:, step].repeat_interleave(2))
        if not _close(found, logits[:, step].repeat_interleave(2, dim=0)):
            yield f"logits of the decoder's step {step + 1} differ from those of read"


def _close(found: Tensor, wanted: Tensor) -> bool:
    scale = max(float(wanted.abs().max()), 1.0) if wanted.numel() else 1.0
    return found.shape == wanted.shape and bool(((found - wanted).abs() <= CLOSE * scale).all())
