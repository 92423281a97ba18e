"""The tokenizer of models from scratch, for a small task of text."""

from typing import Any

from chainlift.text import tokenizer as byte_pairs
from chainlift.text.task import TextTask
from chainlift.text.templates import content

SIZES: dict[str, Any] = {"train_size": 60, "test_size": 30, "max_tokens": 128}


def trained_tokenizer(task: TextTask, size: int = 512) -> Any:
    """The tokenizer of models from scratch, trained on a task's problems."""
    train, _ = task.problems
    return byte_pairs.train([content(task.prompt(p)) + content(task.completion(p, long=True)) for p in train], size)
