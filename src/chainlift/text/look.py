"""Summary of a task of text for a user: counts, both forms, and the overlap of test problems with training problems."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from chainlift.text.overlap import overlap
from chainlift.text.task import TextTask
from chainlift.text.templates import content


def look(task: TextTask) -> dict[str, Any]:
    """Summary {train, test, commonest_answer, overlap, short, long} of a task.

    These are the numbers of problems, the answer that is right most often and its share, the questions in both splits,
    and a demonstration of each form.
    """
    train, test = task.problems
    shared, first = overlap(train, test), train[0]
    prompt = content(task.prompt(first))
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
        "short": prompt + content(task.completion(first, long=False)),
        "long": prompt + content(task.completion(first, long=True)),
    }


def lines(summary: dict[str, Any]) -> list[str]:
    """The summary that `look` returns, as lines for the terminal."""
    shared, common = summary["overlap"], summary["commonest_answer"]
    return [
        f"{summary['train']:,} training problems, {summary['test']:,} test problems",
        f"the commonest answer, {common['answer']}, is right for {common['share']:.1%} of the training problems",
        f"in both: {shared['exact']} questions word for word, {shared['near']} more that are nearly the same",
        "",
        "a short demonstration:",
        summary["short"],
        "",
        "a long one:",
        summary["long"],
    ]
