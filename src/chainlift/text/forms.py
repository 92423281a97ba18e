"""Measurements of the two forms of a task's demonstrations: their lengths, and how long ones open.

The form is chosen at the first place where the long and the short completion of a problem differ. What stands there is
the opening of the long form. If a share q of the long completions to one prompt opens alike, greedy decoding is long
above p_cot = 1/(1 + q) (text/templates.py). A data set has one solution a problem, so q at a prompt is not known.
The share of the commonest opening over all problems is, and it says this about a learner of these demonstrations:

1. If it does not tell openings from the prompt, the share is its q at every prompt, and 1/(1 + q) its threshold.
2. If it does, the mean of its q over the problems is at least the share: the mean of largest probabilities is at least
   the largest mean probability. At a single prompt its q, and so its threshold, may be on either side.
3. No threshold is below 1/2, which belongs to an opening that is certain (q = 1), as with `marker: long`.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from chainlift.text.problem import Problem
from chainlift.text.task import TextTask, limited
from chainlift.text.templates import content

VOCABULARY = 512
MAX_TOKENIZED = 4000  # problems whose completions become tokens; words are counted in all
Units = Sequence[Hashable]


def measure(task: TextTask, tokenizer: Any | None = None) -> dict[str, Any]:
    """The forms of the training problems: {words, tokens, tokenizer}; tokens are None without the package tokenizers.

    words and tokens: {problems, short, long, opening}, as `of_units` returns them. tokenizer: a description. Without a
    tokenizer, one of 512 tokens is trained on the task's own texts.
    """
    train, _ = task.problems
    words = of_units(task, train, str.split, " ".join)
    problems = limited(train, MAX_TOKENIZED)
    description = f"{getattr(tokenizer, 'name_or_path', '') or 'the tokenizer'}"
    if tokenizer is None:
        tokenizer = _trained(task, problems)
        description = f"byte-pair encoding of {VOCABULARY} tokens, trained on these problems"
    if tokenizer is None:
        return {"words": words, "tokens": None, "tokenizer": None}

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    return {"words": words, "tokens": of_units(task, problems, encode, tokenizer.decode), "tokenizer": description}


def of_units(
    task: TextTask, problems: Sequence[Problem], split: Callable[[str], Any], join: Callable[[Any], str]
) -> dict[str, Any]:
    """Measurements in one unit: {problems, short, long, opening}.

    short, long: {mean, median, largest}, the lengths of completions without the end of sequence. opening: {text, q,
    critical_share} of the commonest opening; text ends where the forms first differ.
    """
    shorts, longs = (
        [split(content(task.completion(problem, long=long))) for problem in problems] for long in (False, True)
    )
    openings = Counter(opening(short, long) for short, long in zip(shorts, longs, strict=True))
    ((commonest, count),) = openings.most_common(1)
    q = count / len(problems)
    return {
        "problems": len(problems),
        "short": _lengths(shorts),
        "long": _lengths(longs),
        "opening": {"text": join(list(commonest)), "q": q, "critical_share": 1 / (1 + q)},
    }


def opening(short: Units, long: Units) -> tuple[Hashable, ...]:
    """The long completion up to the first unit in which it differs from the short one of the same problem."""
    length = next((i for i, units in enumerate(zip(short, long, strict=False)) if units[0] != units[1]), len(short))
    return tuple(long[: length + 1])


def _lengths(completions: Sequence[Units]) -> dict[str, float]:
    """{mean, median, largest} of the lengths."""
    lengths = [len(completion) for completion in completions]
    return {"mean": statistics.mean(lengths), "median": statistics.median(lengths), "largest": max(lengths)}


def _trained(task: TextTask, problems: Sequence[Problem]) -> Any | None:
    """A tokenizer trained on prompts and both forms of the problems; None without the package tokenizers."""
    from chainlift.text import tokenizer

    texts = [
        text
        for problem in problems
        for text in (task.prompt(problem), task.completion(problem, long=False), task.completion(problem, long=True))
    ]
    try:
        return tokenizer.train(map(content, texts), VOCABULARY)
    except ImportError:
        return None
