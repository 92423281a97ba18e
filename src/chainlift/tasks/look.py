"""A look at a task of symbols before anything is trained: its sizes, and a few prompts with both forms of response."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from chainlift.seeding import stream
from chainlift.tasks.base import Demonstrator, Task, has_chains, output_mask

SHOWN = 3  # prompts


def look(task: Task, seed: int = 0) -> dict[str, Any]:
    """{vocabulary, prompt_length, short_length, long_length, chance, examples}; an example has prompt, short, long.

    The long form is that of a demonstration, whose chain may have errors; it is null where there is none.
    """
    prompts = task.prompts(SHOWN, stream(seed, "look/prompts"))
    short = _texts(task, task.gold(prompts, long=False))
    long = _texts(task, _long(task, prompts, seed)) if has_chains(task) else [None] * SHOWN
    texts = [task.vocabulary.decode(prompt) for prompt in prompts]
    return {
        "vocabulary": list(task.vocabulary.tokens),
        "prompt_length": task.prompt_length,
        "short_length": task.short_length,
        "long_length": task.long_length,
        "chance": task.chance,
        "examples": [
            {"prompt": prompt, "short": one, "long": other}
            for prompt, one, other in zip(texts, short, long, strict=True)
        ],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """What `look` found, as lines for the terminal."""
    written = [
        f"{len(found['vocabulary'])} tokens: {' '.join(found['vocabulary'])}",
        f"prompts of {found['prompt_length']} tokens; short responses of {found['short_length']}, long ones of "
        f"{found['long_length']}; a blind guess is right with probability {found['chance']:.3g}",
    ]
    for example in found["examples"]:
        written += ["", f"prompt  {example['prompt']}", f"short   {example['short']}"]
        if example["long"] is not None:
            written.append(f"long    {example['long']}")
    return written


def _long(task: Task, prompts: Tensor, seed: int) -> Tensor:
    if isinstance(task, Demonstrator):
        return task.demonstrate(prompts, stream(seed, "look/demonstrations"), long=True)
    return task.gold(prompts, long=True)


def _texts(task: Task, responses: Tensor) -> list[str]:
    """Responses in text, without EOS."""
    masks = output_mask(responses, task.vocabulary.eos)
    return [task.vocabulary.decode(row[mask][:-1]) for row, mask in zip(responses, masks, strict=True)]
