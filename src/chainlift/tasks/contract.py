"""What is wrong with a task from elsewhere, found before anything is trained with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from chainlift.tasks.base import EOS, Task
from chainlift.visible import one_line

TRIED = 4  # prompts
PARTS = sorted({*Task.__annotations__, "settings", "prompts", "gold", "verify"})


def complaint(task: Any) -> str | None:
    """In words, the first way in which the task violates the protocol of tasks/base.py; None if it does not."""
    missing = [part for part in PARTS if not hasattr(task, part)]
    if missing:
        return f"it lacks {', '.join(missing)}"
    try:
        return next(_complaints(task), None)
    except Exception as error:  # whatever a stranger's task raises
        return f"{type(error).__name__}: {one_line(str(error))}"


def _complaints(task: Task) -> Iterator[str]:
    if task.vocabulary.tokens[-1] != EOS:
        yield f"the last token of its vocabulary is not {EOS!r}"
    prompts = task.prompts(TRIED, torch.Generator().manual_seed(0))
    if tuple(prompts.shape) != (TRIED, task.prompt_length):
        yield f"prompts have the shape {tuple(prompts.shape)}, not (n, prompt_length) = ({TRIED}, {task.prompt_length})"
    if not torch.equal(prompts, task.prompts(TRIED, torch.Generator().manual_seed(0))):
        yield "prompts differ from call to call with the same generator"
    for long, name in ((False, "short_length"), (True, "long_length")):
        gold = task.gold(prompts, long=long)
        most = getattr(task, name)
        if gold.shape[1] > most + 1:
            yield f"gold(long={long}) has {gold.shape[1]} tokens, more than {name} + 1 = {most + 1}"
        yield from _of_gold(task, prompts, gold, long=long)


def _of_gold(task: Task, prompts: Tensor, gold: Tensor, *, long: bool) -> Iterator[str]:
    """What the task's own verifier has against its gold responses."""
    verdict = task.verify(prompts, gold)
    for field in ("finished", "answer", "chain"):
        if not bool(getattr(verdict, field).all()):
            yield f"verify says that gold(long={long}) is not right: {field} is False"
    if bool((verdict.long != long).any()):
        yield f"verify says that gold(long={long}) has the other form: long is {not long}"
