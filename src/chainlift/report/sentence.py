"""The headline of a run in words, made from what was measured; a failure is reported as one."""

from __future__ import annotations

from typing import Any

from chainlift.report.names import STAGE_TITLES
from chainlift.report.prompt_words import prompt_words
from chainlift.report.record import Record


def headline(summary: dict[str, Any] | None, chance: float) -> str:
    """One or two sentences on a finished run, or what an unfinished one is; `chance`: accuracy of a blind guess."""
    if summary is None:
        return "This run is not finished: the page shows what is on record so far."
    before = summary["pretrain"]
    told = (
        f"After {before['sequences']:,} demonstrations of next-token prediction, greedy decoding is right on "
        f"{_percent(before)}{_level(before, chance)} of {prompt_words(summary)}, with {_tokens(before)}."
    )
    after = summary.get("posttrain")
    if after is not None:
        rl = f"{after['updates']} RL updates ({after['rollouts']:,} sampled responses, {after['algorithm']})"
        told += f" {rl} {_change(before, after)} {_percent(after)}, with {_tokens(after)}."
    baseline = summary.get("continued_pretrain")
    if baseline is not None:
        told += (
            f" The same checkpoint after {baseline['sequences']:,} further demonstrations "
            f"(at least as many tokens as RL processed): {_percent(baseline)}, {_tokens(baseline)}."
        )
    return told


def expectation(theory: dict[str, Any], *, with_rl: bool) -> str | None:
    """What theory expects of a run, before it starts; None for a task without closed forms.

    with_rl: the run goes on with reinforcement learning.
    """
    if theory["greedy"] is None:
        return None
    side = "above" if theory["greedy"] == "long" else "not above"
    told = (
        f"theory: p_cot is {side} the threshold {theory['threshold']:.3g}, so after next-token prediction greedy "
        f"answers are {theory['greedy']} (accuracy {theory['greedy_accuracy']:.3g}), and "
        f"{theory['sampled_long_share']:.1%} of the samples are long (accuracy {theory['sampled_accuracy']:.3g})"
    )
    if not with_rl:
        return told
    limit, rounds = theory["posttrain"]["greedy_accuracy"], theory["star_rounds_to_flip"]
    if limit is None and theory.get("star_next_share") is None:
        return f"{told}; there is no prediction of RL with this reward"
    if limit is None:
        return f"{told}; RL cannot lift this"
    return told + (f"; RL can lift this to {limit:.3g}, STaR from round {rounds} on" if rounds else "")


def so_far(record: Record) -> str:
    """What an unfinished run has measured: its newest evaluation, or that there is none yet."""
    told = "This run is not finished: the page shows what is on record so far."
    for stage in reversed(STAGE_TITLES):
        row = record.last_evaluation(stage)
        if row is not None:
            measured = {f"greedy_{key}": row["greedy"][key] for key in ("accuracy", "length_median")}
            steps = f"{row['step']:,} update{'' if row['step'] == 1 else 's'}"
            return (
                f"{told} Newest evaluation, after {steps} of the stage \u201c{STAGE_TITLES[stage]}\u201d: "
                f"greedy decoding is right on {_percent(measured)}, with {_tokens(measured)}."
            )
    return f"{told} There is no evaluation yet."


def _percent(measured: dict[str, Any]) -> str:
    return f"{100 * measured['greedy_accuracy']:.1f} %"


def _tokens(measured: dict[str, Any]) -> str:
    length = measured["greedy_length_median"]
    return f"a median response of {length:g} token{'' if length == 1 else 's'}"


def _level(measured: dict[str, Any], chance: float) -> str:
    """Where an accuracy stands, judged by its 95 % interval, in brackets; nothing where no answer can be guessed."""
    low, high = measured["greedy_accuracy_ci95"]
    if measured["greedy_accuracy"] >= 0.99:
        return " (as good as perfect)"
    if chance == 0:
        return ""
    if low <= chance <= high:
        return " (a blind guess)" if chance != 0.5 else " (a coin flip)"
    return " (above a blind guess)" if low > chance else " (below a blind guess)"


def _change(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What RL did, judged by whether the two 95 % intervals overlap."""
    (low, high), (new_low, new_high) = before["greedy_accuracy_ci95"], after["greedy_accuracy_ci95"]
    if new_low > high:
        return "lift this to" if after["greedy_accuracy"] >= 0.99 else "raise this only to"
    if new_high < low:
        return "lower this to"
    return "do not change this beyond chance: it is"
