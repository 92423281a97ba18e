"""A batch divided between processes so that what they learn together is what one of them would learn alone.

Every process draws the whole batch, prompts, demonstrations and uniform numbers, from the same named streams, and works
on its share of it. All means run over the whole batch, so that losses and gradients of the shares add up to those of
the whole: the number of processes changes the order in which numbers are added, and nothing else. A share may be empty,
and its process still joins every sum. Alone, each function returns what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace

import torch
from torch import Tensor, nn

from chainlift import distributed
from chainlift.learning.draft import Draft
from chainlift.learning.rollout import Rollout, join, sample, take_groups
from chainlift.models.protocol import Cache, SequenceModel
from chainlift.tasks.base import Demonstrations
from chainlift.tasks.mixture import MixtureBatch

NUMBERS_AT_ONCE = 2**24  # of gradients added up in one message: bounds the memory of their copy


def own_demonstrations(batch: MixtureBatch) -> MixtureBatch:
    """This process's share of a batch: the same part of the short ones and of the long ones."""
    if distributed.world_size() == 1:
        return batch
    return MixtureBatch(short=_own_part(batch.short), long=_own_part(batch.long))


def own_groups(rollout: Rollout) -> tuple[Rollout, slice]:
    """This process's share of a rollout, whole groups, and the rows of the whole that it has."""
    if distributed.world_size() == 1:
        return rollout, slice(None)
    prompts = distributed.shard(len(rollout.prompts))
    group_size = len(rollout.rows) // len(rollout.prompts)
    rows = slice(prompts.start * group_size, prompts.stop * group_size)
    if prompts.start == prompts.stop:
        return _nothing(rollout.prompts), rows
    return take_groups(rollout, torch.arange(prompts.start, prompts.stop, device=rollout.rows.device)), rows


def sample_together(
    model: SequenceModel,
    prompts: Tensor,
    *,
    eos: int,
    max_tokens: int,
    group_size: int = 1,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    cache: Cache | None = None,
    draft: Draft | None = None,
) -> Rollout:
    """The whole rollout of prompts (P, T), in every process, each having sampled its share of the groups.

    cache: of this process's share of the prompts; for the rest see learning/rollout.py.
    """
    total, own = len(prompts), distributed.shard(len(prompts))
    if own.start == own.stop:
        mine = _nothing(prompts)
        if generator is not None:
            torch.rand(total * group_size, max_tokens, generator=generator)  # where the others draw, too
    else:
        mine = sample(
            model,
            prompts[own],
            eos=eos,
            max_tokens=max_tokens,
            group_size=group_size,
            temperature=temperature,
            generator=generator,
            cache=cache,
            draft=draft and replace(draft, responses=draft.responses[own]),
            among=(own.start, total),
        )
    if distributed.world_size() == 1:
        return mine
    parts = [_moved(part, prompts.device) for part in distributed.all_gather_objects(_moved(mine, torch.device("cpu")))]
    return join([part for part in parts if len(part.rows)], eos)


def sum_gradients(model: nn.Module) -> None:
    """Leave in every process's `.grad` the sum of all processes' gradients; None only where all have none."""
    if distributed.world_size() == 1:
        return
    for parameters in _buckets(model):
        _sum_bucket(parameters)


def _buckets(model: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The parameters in order, in groups of about NUMBERS_AT_ONCE numbers at most."""
    bucket: list[nn.Parameter] = []
    for parameter in model.parameters():
        if bucket and sum(one.numel() for one in bucket) + parameter.numel() > NUMBERS_AT_ONCE:
            yield bucket
            bucket = []
        bucket.append(parameter)
    yield bucket


def _sum_bucket(parameters: list[nn.Parameter]) -> None:
    has = torch.tensor([parameter.grad is not None for parameter in parameters], device=parameters[0].device)
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    total = distributed.all_reduce_sum(torch.cat([*(grad.flatten() for grad in grads), has.to(grads[0].dtype)]))
    *sums, counts = total.split([*(grad.numel() for grad in grads), len(parameters)])
    for parameter, value, number in zip(parameters, sums, counts.tolist(), strict=True):
        parameter.grad = value.view_as(parameter) if number else None


def whole_metrics(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """Those of the whole batch from those of this process's share, which all processes name alike.

    Losses and counts add up; of what is called `..._max` the largest is taken; `..._fraction` is a share of
    the tokens counted in `scored`. None stays None: whether a number exists is a matter of the whole batch.
    """
    if distributed.world_size() == 1:
        return dict(metrics)
    numbers = distributed.all_gather_numbers([0.0 if value is None else value for value in metrics.values()])
    parts = [dict(zip(metrics, row, strict=True)) for row in numbers]
    found: dict[str, float | None] = {}
    for name, value in metrics.items():
        values = [part[name] for part in parts]
        if value is None:
            found[name] = None
        elif name.endswith("_max"):
            found[name] = max(values)
        elif name.endswith("_fraction"):
            scored = [part["scored"] for part in parts]
            shares = zip(values, scored, strict=True)
            found[name] = sum(v * n for v, n in shares) / max(sum(scored), 1.0)
        else:
            found[name] = sum(values)
    return found


def whole_rows(chunks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, whose first axis the processes share, put together in every process."""
    if distributed.world_size() == 1:
        return dict(chunks)
    device = next(iter(chunks.values())).device if chunks else torch.device("cpu")
    parts = [
        part for part in distributed.all_gather_objects({name: value.cpu() for name, value in chunks.items()}) if part
    ]
    return {name: torch.cat([part[name] for part in parts]).to(device) for name in parts[0]}


def _own_part(part: Demonstrations) -> Demonstrations:
    own = distributed.shard(len(part.prompts))
    return Demonstrations(part.prompts[own], part.responses[own], part.mask[own])


def _nothing(prompts: Tensor) -> Rollout:
    """The rollout of no prompt."""
    none = torch.zeros(0, dtype=torch.long, device=prompts.device)
    empty = torch.zeros(0, 0, device=prompts.device)
    return Rollout(prompts[:0], none, empty.long(), empty, none, torch.zeros((), device=prompts.device))


def _moved(rollout: Rollout, device: torch.device) -> Rollout:
    return replace(rollout, **{field.name: getattr(rollout, field.name).to(device) for field in fields(rollout)})
