"""A verifier for tasks with one gold response of each form, whose answer is the last token: enough for most of them."""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.tasks.base import Task, Verdict, output_mask, response_lengths


def compare(task: Task, prompts: Tensor, responses: Tensor) -> Verdict:
    """The verdict on responses (N, R) by the task's own gold responses, row by row.

    A response is long if it has more tokens than the short form. A step is a token of a long response; it is right if
    the gold chain has the same token there.
    """
    eos = task.vocabulary.eos
    gold, short = task.gold(prompts, long=True), task.gold(prompts, long=False)
    length, finished = response_lengths(responses, eos)
    gold_length, short_length = (response_lengths(form, eos)[0] for form in (gold, short))
    last = responses.gather(1, (length - 1).clamp(min=0)[:, None])
    answer = finished & (length > 0) & (last == short.gather(1, short_length[:, None] - 1))[:, 0]
    long = length > task.short_length
    width = min(responses.shape[1], gold.shape[1])
    taken = output_mask(responses, eos)[:, :width] & (responses[:, :width] != eos) & long[:, None]
    same = responses[:, :width] == gold[:, :width]
    exact = finished & (length == gold_length) & (same | ~taken).all(dim=1)
    width = min(responses.shape[1], short.shape[1])
    equal = responses[:, :width] == short[:, :width]
    within = torch.arange(width, device=responses.device) < length[:, None]
    return Verdict(
        answer=answer,
        chain=torch.where(long, exact, answer & (length == short_length) & (equal | ~within).all(dim=1)),
        finished=finished,
        long=long,
        length=length,
        steps=taken.sum(dim=1),
        steps_right=(taken & same).sum(dim=1),
    )
