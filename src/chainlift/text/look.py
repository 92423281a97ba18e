"""A look at a task of text before anything is trained: counts, both forms, what test problems share with training."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from chainlift.text.overlap import overlap
from chainlift.text.task import TextTask
from chainlift.text.templates import content


def look(task: TextTask) -> dict[str, Any]:
    """{train, test, commonest_answer, overlap, short, long}: numbers of problems, the answer that is right most often
    with its share, questions in both splits, a demonstration of each form.
    """
    train, test = task.problems
    shared, problem = overlap(train, test), train[0]
    prompt = content(task.prompt(problem))
    ((answer, count),) = Counter(one.answer for one in train).most_common(1)
    return {
        "train": len(train),
        "test": len(test),
        "commonest_answer": {"answer": answer, "share": count / len(train)},
        "overlap": {
            "exact": len(shared.exact),
            "near": len(shared.near),
            "examples": [asdict(one) for one in shared.examples],
        },
        "short": prompt + content(task.completion(problem, long=False)),
        "long": prompt + content(task.completion(problem, long=True)),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """What `look` found, as lines for the terminal."""
    shared, common = found["overlap"], found["commonest_answer"]
    return [
        f"{found['train']:,} training problems, {found['test']:,} test problems",
        f"the commonest answer, {common['answer']}, is right for {common['share']:.1%} of the training problems",
        f"in both: {shared['exact']} questions to the letter, {shared['near']} more that are nearly the same",
        "",
        "a short demonstration:",
        found["short"],
        "",
        "a long one:",
        found["long"],
    ]
