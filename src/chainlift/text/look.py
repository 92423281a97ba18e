"""Summary of a task of text for a user: counts, examples, both forms, and what test problems share with training."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from chainlift.text import forms
from chainlift.text.overlap import overlap
from chainlift.text.task import TextTask
from chainlift.text.templates import content

NUM_EXAMPLES = 3


def look(task: TextTask, tokenizer: Any | None = None) -> dict[str, Any]:
    """Summary {train, test, commonest_answer, overlap, forms, examples} of a task.

    These are the numbers of problems, the training answer that is right most often and its share, the questions in both
    splits, the lengths and openings of both forms (text/forms.py), and training problems with a completion in each
    form. tokenizer: a tokenizer of transformers that counts tokens.
    """
    train, test = task.problems
    shared = overlap(train, test)
    ((answer, count),) = Counter(problem.answer for problem in train).most_common(1)
    return {
        "train": len(train),
        "test": len(test),
        "commonest_answer": {"answer": answer, "share": count / len(train)},
        "overlap": {
            "exact": len(shared.exact),
            "near": len(shared.near),
            "examples": [asdict(pair) for pair in shared.examples],
        },
        "forms": forms.measure(task, tokenizer),
        "examples": [
            {
                "prompt": content(task.prompt(problem)),
                "short": content(task.completion(problem, long=False)),
                "long": content(task.completion(problem, long=True)),
            }
            for problem in train[:NUM_EXAMPLES]
        ],
    }


def lines(summary: dict[str, Any]) -> list[str]:
    """The summary that `look` returns, as lines for the terminal."""
    shared, common, measured = summary["overlap"], summary["commonest_answer"], summary["forms"]
    text_lines = [
        f"{summary['train']:,} training problems, {summary['test']:,} test problems",
        f"the commonest answer, {common['answer']}, is right for {common['share']:.1%} of the training problems",
        f"in both: {shared['exact']} questions word for word, {shared['near']} more that are nearly the same",
    ]
    for unit in ("words", "tokens"):
        if measured[unit] is not None:
            text_lines += ["", *_form_lines(measured[unit], unit)]
    if measured["tokenizer"] is not None:
        text_lines.append(f"(tokens: {measured['tokenizer']})")
    for number, example in enumerate(summary["examples"], start=1):
        text_lines += ["", f"problem {number}:", example["prompt"]]
        text_lines += [f"short:{_indented(example['short'])}", f"long: {_indented(example['long'])}"]
    return text_lines


def _form_lines(measured: dict[str, Any], unit: str) -> list[str]:
    """The lengths and the opening of both forms in one unit."""
    first, q, critical = (measured["opening"][key] for key in ("text", "q", "critical_share"))
    text_lines = [
        f"{form} completions in {unit}: mean {lengths['mean']:.1f}, median {lengths['median']:g}, "
        f"largest {lengths['largest']:,}"
        for form, lengths in (("short", measured["short"]), ("long", measured["long"]))
    ]
    if q == 1:
        return [*text_lines, f"every long one opens with {first!r} (q = 1): greedy answers are long above p_cot = 1/2"]
    return [
        *text_lines,
        f"the commonest opening of long ones over all problems is {first!r}, with a share q = {q:.3f}:",
        f"greedy answers are long above p_cot = 1/(1 + q) = {critical:.3f} if the question does not tell it,",
        "and above 1/2 where the question makes it certain; given the question, q is on average at least that share",
    ]


def _indented(text: str) -> str:
    """A completion with its later lines indented."""
    return " " + text.strip().replace("\n", "\n       ")
