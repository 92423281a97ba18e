"""Measurements of the two forms of a response in words: their accuracies, and answers that are forced to be long.

If all long forms begin with a text of their own, its probability is measured without sampling, and greedy answers are
forced to begin with it. They show what a model can do once the choice of form is made for it: RL that only makes long
answers more frequent leaves their accuracy as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainlift.learning import parallel
from chainlift.measure.statistics import wilson
from chainlift.models.model import Model
from chainlift.models.protocol import Cache, split_prompts
from chainlift.tasks.base import Task, Verdict

FORCED_LONG_KEYS = ("n", "accuracy", "accuracy_ci95", "length_median", "length_mean", "long_share", "unfinished_share")


def by_form(verdict: Verdict) -> dict[str, Any]:
    """{long_accuracy, short_accuracy, ...}: accuracy of each form, and form and length of right and wrong responses.

    A quantity is None if there is no such response.
    """
    right, long, length = verdict.answer_correct.cpu(), verdict.long.cpu(), verdict.length.cpu()
    table: dict[str, Any] = {}
    for name, rows in (("long", long), ("short", ~long)):
        count, n = int(right[rows].sum()), int(rows.sum())
        table[f"{name}_accuracy"] = count / n if n else None
        table[f"{name}_accuracy_ci95"] = list(wilson(count, n)) if n else None
    for name, rows in (("right", right), ("wrong", ~right)):
        table[f"length_mean_{name}"] = float(length[rows].float().mean()) if rows.any() else None
        table[f"long_share_{name}"] = float(long[rows].float().mean()) if rows.any() else None
    return table


@torch.no_grad()
def forced_long(model: Model, task: Task, prompts: Tensor, opening: Tensor) -> Verdict:
    """The verdict on greedy responses to prompts (P, T) that are forced to begin with the opening (O,)."""
    forced = opening.to(prompts.device).expand(len(prompts), -1)
    rollout = parallel.sample_together(
        model,
        torch.cat([prompts, forced], dim=1),
        eos=task.vocabulary.eos,
        max_tokens=task.long_length + 1 - len(opening),
    )
    return task.verify(prompts, torch.cat([forced, rollout.responses], dim=1))


@torch.no_grad()
def opening_probability(
    model: Model, prompts: Tensor, opening: Tensor, cache: Cache, temperature: float = 1.0
) -> dict[str, Tensor]:
    """{probability} that a response to each of prompts (P, T) begins with the opening (O,): (P,), on the CPU.

    cache: of the prompts' prefixes (all tokens but the last).
    """
    last = split_prompts(prompts)[1]
    targets = opening.to(prompts.device).expand(len(prompts), -1)
    suffix = torch.cat([last, targets[:, :-1]], dim=1)
    logp = model.suffix_logp(cache, suffix, targets, temperature=temperature)
    return {"probability": logp.double().sum(dim=1).exp().cpu()}


def describe_probability(probability: Tensor, temperature: float) -> dict[str, Any]:
    """{n, probability, probability_sd, temperature}: mean and standard deviation over prompts (P,)."""
    return {
        "n": len(probability),
        "probability": float(probability.mean()),
        "probability_sd": float(probability.std()) if len(probability) > 1 else 0.0,
        "temperature": temperature,
    }
