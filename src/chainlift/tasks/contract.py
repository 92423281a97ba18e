"""Check that an external task fulfills the protocol, before anything is trained with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from chainlift.tasks.base import EOS, Task
from chainlift.visible import one_line

NUM_PROMPTS = 4
MEMBERS = sorted(name for name in vars(Task) if not name.startswith("_"))


def complaint(task: Any) -> str | None:
    """The first violation of the protocol of tasks/base.py, in words; None if the task fulfills it."""
    missing = [member for member in MEMBERS if not hasattr(task, member)]
    if missing:
        return f"it lacks {', '.join(missing)}"
    try:
        return next(_complaints(task), None)
    except Exception as error:  # an external task may raise anything
        return f"{type(error).__name__}: {one_line(str(error))}"


def _complaints(task: Task) -> Iterator[str]:
    """Violations of the protocol, in words."""
    if task.vocabulary.tokens[task.vocabulary.eos] != EOS:  # the last one, unless it is a tokenizer's
        yield f"the last token of its vocabulary is not {EOS!r}"
    prompts = task.prompts(NUM_PROMPTS, torch.Generator().manual_seed(0))
    expected = (NUM_PROMPTS, task.prompt_length)
    if tuple(prompts.shape) != expected:
        yield f"prompts have the shape {tuple(prompts.shape)}, not (n, prompt_length) = {expected}"
    if not torch.equal(prompts, task.prompts(NUM_PROMPTS, torch.Generator().manual_seed(0))):
        yield "prompts differ from call to call with the same generator"
    for long, name in ((False, "short_length"), (True, "long_length")):
        gold = task.gold(prompts, long=long)
        max_length = getattr(task, name)
        if gold.shape[1] > max_length + 1:
            yield f"gold(long={long}) has {gold.shape[1]} tokens, more than {name} + 1 = {max_length + 1}"
        yield from _gold_complaints(task, prompts, gold, long=long)


def _gold_complaints(task: Task, prompts: Tensor, gold: Tensor, *, long: bool) -> Iterator[str]:
    """Contradictions between the task's verifier and its gold responses, in words."""
    verdict = task.verify(prompts, gold)
    for field in ("finished", "answer_correct", "chain_correct"):
        if not bool(getattr(verdict, field).all()):
            yield f"verify says that gold(long={long}) is not right: {field} is False"
    if bool((verdict.long != long).any()):
        yield f"verify says that gold(long={long}) has the other form: long is {not long}"
