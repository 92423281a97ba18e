"""Prompts, demonstrations and verdicts of every task, in tokens a second on one CPU thread.

    python -m benchmarks.tasks [--seconds 1] [--json FILE]

A batch is drawn as in training: 256 prompts, half of them with long demonstrations. Tokens of prompts, and of responses
up to EOS, count once. The rate is the median over batches and includes all work: drawing prompts, writing
demonstrations of both forms, and verifying each of them. Runs must not wait for it: the aim is a million tokens a
second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from chainlift.seeding import stream
from chainlift.tasks import mixture, registry
from chainlift.tasks.base import Task
from chainlift.tasks.mixture import MixtureSettings

AIM = 1_000_000
BATCH = 256
CASES: list[tuple[str, dict[str, Any]]] = [
    ("running_sum", {"d": 50}),
    ("running_sum", {"d": 12, "modulus": 7}),
    ("running_sum", {"d": 50, "leap": 2, "marker": "both"}),
    ("running_sum", {"d": 50, "noise": 0.02}),
    ("running_sum", {"d": 50, "d_min": 25}),
    ("running_sum", {"d": 50, "sparse": 10}),
    ("permutation", {"d": 16, "degree": 3}),
    ("permutation", {"d": 50, "degree": 5}),
    ("multiplication", {"n": 2}),
    ("multiplication", {"n": 4}),
    ("multiplication", {"n": 7}),
    ("graph_path", {}),
    ("graph_path", {"question": "reach", "hops": 5}),
]


def rate(task: Task, seconds: float) -> float:
    """Median tokens per second over batches."""
    rates, ends, step = [], time.perf_counter() + seconds, 0
    while len(rates) < 5 or time.perf_counter() < ends:
        started = time.perf_counter()
        batch = mixture.draw(task, MixtureSettings(p_cot=0.5), BATCH, seed=0, name="benchmark", step=step)
        for part in batch.parts:
            assert task.verify(part.prompts, part.responses).finished.all()
        rates.append(batch.num_tokens / (time.perf_counter() - started))
        step += 1
    return statistics.median(rates[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each task")
    parser.add_argument("--json", type=Path, help="also write the rates here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rates = {}
    for name, keys in CASES:
        task = registry.build(registry.settings_class(name)(**keys))
        assert task.prompts(1, stream(0, "warm-up")).shape[1] == task.prompt_length
        description = ", ".join(f"{key} {value}" for key, value in keys.items())
        task_rate = rate(task, options.seconds)
        rates[f"{name} {description}".strip()] = task_rate
        remark = "" if task_rate >= AIM else "  below the aim"
        print(f"{name:15s} {description:30s} {task_rate / AIM:6.2f} million tokens/s{remark}")
    if options.json is not None:
        options.json.write_text(json.dumps(rates, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
