"""The picture on a language model: a tiny Llama from scratch on generated word problems."""

from __future__ import annotations

from collections.abc import Sequence

from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe
from chainlift.sweep.claims import Claim, after
from chainlift.sweep.grid import Finished, cross

QUICK = (
    "task.max_steps=2", "task.max_number=10", "pretrain.steps=600", "posttrain.updates=10", "evaluate.prompts=256",
)  # fmt: skip
OPENING = 0.03  # allowed of the opening's probability; the share of long training demonstrations is p_cot within .0074
GAIN = 0.1  # with no effect, a seed gains as much by chance once in 10,000 times at 512 problems


def runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `llm-tiny`."""
    return cross("llm-tiny", {}, seeds, *(QUICK if quick else ()))


def check(finished: list[Finished]) -> list[Finding]:
    """After fine-tuning greedy answers are short and poor, sampled ones long as often as shown; RL lifts both.

    What is judged of the sampled ones is the probability of opening a long answer, which has no sampling error: of 512
    samples of a calibrated model, one seed in three would be off by more than .02.
    """
    p = finished[0].recipe.mixture.last
    lines: list[tuple[str, str, str, float | None, float]] = [
        ("greedy long share after fine-tuning", "pretrain", "greedy_long_share", 0.0, 0.02),
        ("probability of the long opening after fine-tuning", "pretrain", "opening_probability", p, OPENING),
        ("sampled long share after fine-tuning", "pretrain", "sampled_long_share", None, 0.0),
        ("greedy accuracy after fine-tuning", "pretrain", "greedy_accuracy", None, 0.0),
        ("sampled accuracy of short answers after fine-tuning", "pretrain", "sampled_short_accuracy", None, 0.0),
        ("sampled accuracy of long answers after fine-tuning", "pretrain", "sampled_long_accuracy", None, 0.0),
        ("greedy accuracy of answers made long, after fine-tuning", "pretrain", "opened_accuracy", None, 0.0),
        ("greedy length after fine-tuning, tokens", "pretrain", "greedy_length_mean", None, 0.0),
        ("greedy long share if fine-tuning goes on instead", "continued_pretrain", "greedy_long_share", 0.0, 0.02),
        ("greedy accuracy if fine-tuning goes on instead", "continued_pretrain", "greedy_accuracy", None, 0.0),
        ("greedy long share after RL", "posttrain", "greedy_long_share", 1.0, 0.05),
        ("greedy accuracy after RL", "posttrain", "greedy_accuracy", None, 0.0),
        ("sampled accuracy after RL", "posttrain", "sampled_accuracy", None, 0.0),
        ("greedy length after RL, tokens", "posttrain", "greedy_length_mean", None, 0.0),
    ]
    found = [
        Finding(
            name, "", tuple(after(stage, key)(run) for run in finished), predicted, allowed, share="length" not in name
        )
        for name, stage, key, predicted, allowed in lines
    ]
    gain = tuple(_greedy(run, "posttrain") - _greedy(run, "pretrain") for run in finished)
    found.append(Finding("greedy accuracy gained by RL", "", gain, GAIN, judged="least"))
    return [*found, *_course(finished)]


def _course(finished: list[Finished]) -> list[Finding]:
    """Greedy accuracy and length over the updates of RL."""
    found = []
    courses = [run.evaluations("posttrain") for run in finished]
    for quantity, key in (
        ("greedy accuracy during RL", "accuracy"),
        ("greedy length during RL, tokens", "length_mean"),
    ):
        for rows in zip(*courses, strict=True):
            x, values = rows[0]["step"], tuple(float(row["greedy"][key]) for row in rows)
            share = key == "accuracy"
            found.append(Finding(quantity, f"{x} updates", values, x=x, axis="RL updates", share=share))
    return found


def _greedy(run: Finished, stage: str) -> float:
    return float(run.summary[stage]["greedy_accuracy"])


CLAIM = Claim(
    "llm-tiny",
    "Fine-tuned on word problems with too few solutions, a tiny Llama answers shortly and poorly; RL makes it reason",
    runs,
    check,
    apart=True,
)
