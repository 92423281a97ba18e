"""Summary of a task of symbols for a user: its sizes, and a few prompts with both forms of response."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from chainlift.seeding import stream
from chainlift.tasks.base import Demonstrator, Task, has_chains, output_mask

NUM_EXAMPLES = 3


def look(task: Task, seed: int = 0) -> dict[str, Any]:
    """Summary {vocabulary, prompt_length, short_length, long_length, chance, examples} of a task.

    An example has `prompt`, `short` and `long`. The long form is a demonstration's, whose chain may have errors; it is
    None for a task without long demonstrations.
    """
    prompts = task.prompts(NUM_EXAMPLES, stream(seed, "look/prompts"))
    shorts = _texts(task, task.gold(prompts, long=False))
    longs = _texts(task, _long_demonstrations(task, prompts, seed)) if has_chains(task) else [None] * NUM_EXAMPLES
    texts = [task.vocabulary.decode(prompt) for prompt in prompts]
    return {
        "vocabulary": list(task.vocabulary.tokens),
        "prompt_length": task.prompt_length,
        "short_length": task.short_length,
        "long_length": task.long_length,
        "chance": task.chance,
        "examples": [
            {"prompt": prompt, "short": short, "long": long}
            for prompt, short, long in zip(texts, shorts, longs, strict=True)
        ],
    }


def lines(summary: dict[str, Any]) -> list[str]:
    """The summary that `look` returns, as lines for the terminal."""
    text_lines = [
        f"{len(summary['vocabulary'])} tokens: {' '.join(summary['vocabulary'])}",
        f"prompts of {summary['prompt_length']} tokens; short responses of {summary['short_length']}, long ones of "
        f"{summary['long_length']}; a blind guess is right with probability {summary['chance']:.3g}",
    ]
    for example in summary["examples"]:
        text_lines += ["", f"prompt  {example['prompt']}", f"short   {example['short']}"]
        if example["long"] is not None:
            text_lines.append(f"long    {example['long']}")
    return text_lines


def _long_demonstrations(task: Task, prompts: Tensor, seed: int) -> Tensor:
    """Long demonstrations (N, R) of prompts, drawn if the task draws them."""
    if isinstance(task, Demonstrator):
        return task.demonstrate(prompts, stream(seed, "look/demonstrations"), long=True)
    return task.gold(prompts, long=True)


def _texts(task: Task, responses: Tensor) -> list[str]:
    """The texts of responses (N, R), without EOS."""
    masks = output_mask(responses, task.vocabulary.eos)
    return [task.vocabulary.decode(row[mask][:-1]) for row, mask in zip(responses, masks, strict=True)]
