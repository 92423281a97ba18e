"""Check that a model family from outside chainlift fulfills the protocol, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from chainlift.models.model import Model
from chainlift.models.shapes import shapes_only
from chainlift.visible import one_line

LARGEST_TRIED = 2**24  # parameters; it takes too long to make a larger model twice more
ROWS, STEPS = 2, 3
TOLERANCE = 1e-3  # of the largest logit


def complaint(family: type[Model], settings: Any, vocabulary_size: int, prompt_length: int, context: int) -> str | None:
    """The first violation of the protocol in a small trial of the family, in words; None if there is none."""
    try:
        with shapes_only():
            num_parameters = sum(p.numel() for p in family(settings, vocabulary_size, context).parameters())
        if num_parameters > LARGEST_TRIED:
            return None
        models = [_build(family, settings, vocabulary_size, context) for _ in range(2)]
        tokens = torch.randint(vocabulary_size, (ROWS, context - 1), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            return next(_complaints(models, tokens, prompt_length - 1), None)
    except Exception as error:  # an unknown model can raise anything
        return f"{type(error).__name__}: {one_line(str(error))}"


def _build(family: type[Model], settings: Any, vocabulary_size: int, context: int) -> Model:
    return family(settings, vocabulary_size, context).initialize(torch.Generator().manual_seed(0)).eval()


def _complaints(models: list[Model], tokens: Tensor, start: int) -> Iterator[str]:
    model, twin = models
    if not any(True for _ in model.parameters()):
        yield "it has no parameters"
    twin_state = twin.state_dict()
    for name, value in model.state_dict().items():
        if not torch.equal(value, twin_state[name]):
            yield f"{name} differs from call to call of initialize with the same generator"
    logits = model.read(tokens, start)
    expected = (len(tokens), tokens.shape[1] - start, model.vocabulary_size)
    if tuple(logits.shape) != expected:
        yield f"read gives logits of the shape {tuple(logits.shape)}, not (B, S - start, V) = {expected}"
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % model.vocabulary_size
    if not _close(model.read(changed, start)[:, :-1], logits[:, :-1]):
        yield "logits depend on later tokens"
    prefix, suffix = tokens[:, :start], tokens[:, start:]
    if not _close(model.logits(model.prefill(prefix), suffix), logits):
        yield "logits after prefill differ from those of read"
    decoder = model.decoder(model.prefill(prefix), suffix.shape[1])
    decoder.spread(2)
    for step in range(min(STEPS, suffix.shape[1])):
        step_logits = decoder.step(suffix[:, step].repeat_interleave(2))
        if not _close(step_logits, logits[:, step].repeat_interleave(2, dim=0)):
            yield f"logits of the decoder's step {step + 1} differ from those of read"


def _close(actual: Tensor, expected: Tensor) -> bool:
    scale = max(float(expected.abs().max()), 1.0) if expected.numel() else 1.0
    return actual.shape == expected.shape and bool(((actual - expected).abs() <= TOLERANCE * scale).all())
