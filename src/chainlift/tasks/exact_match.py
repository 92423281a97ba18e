"""A verifier for tasks that have one gold response of each form and an answer of one token, as most tasks do."""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.tasks.base import Task, Verdict, output_mask, response_lengths


def compare(task: Task, prompts: Tensor, responses: Tensor) -> Verdict:
    """The verdict on responses (N, R) from a comparison with the task's gold responses, row by row.

    A response is long if it has more tokens than the short form. Each token of a long response is a step. A step is
    right if the gold chain has the same token at its position.
    """
    eos = task.vocabulary.eos
    gold, short = task.gold(prompts, long=True), task.gold(prompts, long=False)
    length, finished = response_lengths(responses, eos)
    gold_length, short_length = (response_lengths(form, eos)[0] for form in (gold, short))
    last = responses.gather(1, (length - 1).clamp(min=0)[:, None])
    answer = finished & (length > 0) & (last == short.gather(1, short_length[:, None] - 1))[:, 0]
    long = length > task.short_length
    width = min(responses.shape[1], gold.shape[1])
    is_step = output_mask(responses, eos)[:, :width] & (responses[:, :width] != eos) & long[:, None]
    same = responses[:, :width] == gold[:, :width]
    exact = finished & (length == gold_length) & (same | ~is_step).all(dim=1)
    width = min(responses.shape[1], short.shape[1])
    equal = responses[:, :width] == short[:, :width]
    within = torch.arange(width, device=responses.device) < length[:, None]
    return Verdict(
        answer_correct=answer,
        chain_correct=torch.where(long, exact, answer & (length == short_length) & (equal | ~within).all(dim=1)),
        finished=finished,
        long=long,
        length=length,
        steps=is_step.sum(dim=1),
        steps_right=(is_step & same).sum(dim=1),
    )
