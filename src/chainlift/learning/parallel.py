"""Data parallelism: a batch sharded between processes, with the losses and gradients of a single process.

Every process draws the whole batch, prompts, demonstrations and uniform numbers, from the same named streams, and works
on its shard. All means run over the whole batch, so that losses and gradients of the shards sum to those of the whole:
the number of processes changes only the order of additions. A shard may be empty, and its process still joins every
sum. In a single process each function returns its argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace

import torch
from torch import Tensor, nn

from chainlift import distributed
from chainlift.learning import master_weights
from chainlift.learning.draft import Draft
from chainlift.learning.rollout import Rollout, join, sample, take_groups
from chainlift.models.protocol import Cache, SequenceModel
from chainlift.tasks.base import Demonstrations
from chainlift.tasks.mixture import MixtureBatch

BUCKET_NUMBERS = 2**24  # of gradients summed in one message: bounds the memory of their copy


def local_demonstrations(batch: MixtureBatch) -> MixtureBatch:
    """This process's shard of a batch: the same part of the short and of the long demonstrations."""
    if distributed.world_size() == 1:
        return batch
    return MixtureBatch(short=_local_part(batch.short), long=_local_part(batch.long))


def local_groups(rollout: Rollout) -> tuple[Rollout, slice]:
    """This process's shard of a rollout, in whole groups, and the slice of the whole rollout's rows that it has."""
    if distributed.world_size() == 1:
        return rollout, slice(None)
    prompts = distributed.shard(len(rollout.prompts))
    group_size = len(rollout.rows) // len(rollout.prompts)
    rows = slice(prompts.start * group_size, prompts.stop * group_size)
    if prompts.start == prompts.stop:
        return _empty(rollout.prompts), rows
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
    """Sample each process's shard of the groups of prompts (P, T); returns the whole rollout in every process.

    cache: that of this process's shard of the prompts; for the other arguments see learning/rollout.py.
    """
    total, local = len(prompts), distributed.shard(len(prompts))
    if local.start == local.stop:
        rollout = _empty(prompts)
        if generator is not None:
            torch.rand(total * group_size, max_tokens, generator=generator)  # as the other processes do
    else:
        rollout = sample(
            model,
            prompts[local],
            eos=eos,
            max_tokens=max_tokens,
            group_size=group_size,
            temperature=temperature,
            generator=generator,
            cache=cache,
            draft=draft and replace(draft, responses=draft.responses[local]),
            shard=(local.start, total),
        )
    if distributed.world_size() == 1:
        return rollout
    rollouts = distributed.all_gather_objects(_to_device(rollout, torch.device("cpu")))
    return join([_to_device(part, prompts.device) for part in rollouts if len(part.rows)], eos)


def sum_gradients(model: nn.Module) -> None:
    """Sum the processes' gradients into `.grad` of every process; None only if it is None in all of them."""
    if distributed.world_size() == 1:
        return
    for parameters in _buckets(model):
        _sum_bucket(parameters)


def _buckets(model: nn.Module) -> Iterator[list[nn.Parameter]]:
    """The trained parameters in order, in buckets of about BUCKET_NUMBERS numbers at most."""
    bucket: list[nn.Parameter] = []
    for parameter in master_weights.trained(model).values():
        if bucket and sum(p.numel() for p in bucket) + parameter.numel() > BUCKET_NUMBERS:
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
    """Metrics of the whole batch from those of this process's shard; all processes have the same names.

    Losses and counts are summed, of `..._max` the largest is taken, and `..._fraction` is averaged over the tokens
    counted in `scored`. None stays None: whether a metric exists depends on the whole batch.
    """
    if distributed.world_size() == 1:
        return dict(metrics)
    numbers = distributed.all_gather_numbers([0.0 if value is None else value for value in metrics.values()])
    parts = [dict(zip(metrics, row, strict=True)) for row in numbers]
    whole: dict[str, float | None] = {}
    for name, value in metrics.items():
        values = [part[name] for part in parts]
        if value is None:
            whole[name] = None
        elif name.endswith("_max"):
            whole[name] = max(values)
        elif name.endswith("_fraction"):
            scored = [part["scored"] for part in parts]
            shares = zip(values, scored, strict=True)
            whole[name] = sum(v * n for v, n in shares) / max(sum(scored), 1.0)
        else:
            whole[name] = sum(values)
    return whole


def whole_rows(chunks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join tensors by name, sharded along their first axis, in every process."""
    if distributed.world_size() == 1:
        return dict(chunks)
    device = next(iter(chunks.values())).device if chunks else torch.device("cpu")
    parts = [
        part for part in distributed.all_gather_objects({name: value.cpu() for name, value in chunks.items()}) if part
    ]
    return {name: torch.cat([part[name] for part in parts]).to(device) for name in parts[0]}


def _local_part(part: Demonstrations) -> Demonstrations:
    local = distributed.shard(len(part.prompts))
    lengths = None if part.prompt_lengths is None else part.prompt_lengths[local]
    return Demonstrations(part.prompts[local], part.responses[local], part.mask[local], lengths)


def _empty(prompts: Tensor) -> Rollout:
    """A rollout without prompts, on their device."""
    rows = torch.zeros(0, dtype=torch.long, device=prompts.device)
    logp = torch.zeros(0, 0, device=prompts.device)
    return Rollout(prompts[:0], rows, logp.long(), logp, rows, torch.zeros((), device=prompts.device))


def _to_device(rollout: Rollout, device: torch.device) -> Rollout:
    values = {field.name: getattr(rollout, field.name) for field in fields(rollout)}
    return replace(rollout, **{name: value.to(device) for name, value in values.items() if value is not None})
