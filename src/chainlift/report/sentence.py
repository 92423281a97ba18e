"""The headline of a run in words, made from its measurements; failures are reported as failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainlift.report.prompt_words import prompt_words
from chainlift.report.record import Record
from chainlift.runs import stage_views
from chainlift.runs.stage_views import StageView


def headline(summary: dict[str, Any] | None, chance: float) -> str:
    """One or two sentences about a run's summary; for None, that the run is unfinished. chance: accuracy of a guess."""
    if summary is None:
        return "This run is not finished: the page shows what has been recorded so far."
    text = ""
    stages = {stage.name: stage for stage in stage_views.of_summary(summary)}
    for stage in stages.values():
        measured = summary[stage.name]
        before = summary[stage.start] if stage.start is not None and stage.start_step is None else None
        if stage.baseline_of is not None:
            matched = stages[stage.baseline_of]
            is_same = (matched.start, matched.start_step) == (stage.start, stage.start_step)
            start = "The same checkpoint" if is_same else _place(stage, stages)
            text += (
                f" {start} after {measured['sequences']:,} further "
                f"{stage.unit} (at least as many tokens as RL processed): {_percent(measured)}, {_tokens(measured)}."
            )
        elif "rollouts" not in measured:
            after = "After" if not text else "Then, after"
            seen = measured.get("sequences", measured.get("rollouts"))
            number = "" if seen is None else f"{seen:,} "
            text += (
                f" {after} {number}{stage.unit} of {stage.title}, greedy decoding is right on "
                f"{_percent(measured)}{_level(measured, chance)} of {prompt_words(summary)}, with {_tokens(measured)}."
            )
        else:
            limit = (summary["theory"]["stages"].get(stage.name) or {}).get("greedy_accuracy")
            rl = f"{measured['steps']} RL updates ({measured['rollouts']:,} {stage.unit}, {measured['algorithm']})"
            if before is None:
                text += f" {_place(stage, stages)}, {rl} come to {_percent(measured)}, with {_tokens(measured)}."
            else:
                text += f" {rl} {_change(before, measured, limit)} {_percent(measured)}, with {_tokens(measured)}."
    return text.strip()


def _place(stage: StageView, stages: Mapping[str, StageView]) -> str:
    """Where a stage starts, as the beginning of a sentence."""
    if stage.start is None:
        return "From a start outside this run"
    step = "the end" if stage.start_step is None else f"step {stage.start_step:,}"
    return f"From {step} of {stages[stage.start].title}"


def so_far(record: Record) -> str:
    """Sentences about an unfinished run: its latest evaluation, or that there is none yet."""
    text = "This run is not finished: the page shows what has been recorded so far."
    for stage in reversed(record.stages):
        row = record.last_evaluation(stage.name)
        if row is not None:
            measured = {f"greedy_{key}": row["greedy"][key] for key in ("accuracy", "length_median")}
            steps = f"{row['step']:,} update{'' if row['step'] == 1 else 's'}"
            return (
                f"{text} Latest evaluation, after {steps} of the stage \u201c{stage.title}\u201d: "
                f"greedy decoding is right on {_percent(measured)}, with {_tokens(measured)}."
            )
    return f"{text} There is no evaluation yet."


def _percent(measured: dict[str, Any]) -> str:
    return f"{100 * measured['greedy_accuracy']:.1f} %"


def _tokens(measured: dict[str, Any]) -> str:
    length = measured["greedy_length_median"]
    return f"a median response of {length:g} token{'' if length == 1 else 's'}"


def _level(measured: dict[str, Any], chance: float) -> str:
    """How an accuracy's 95 % interval compares with chance, in brackets; empty if no answer can be guessed."""
    low, high = measured["greedy_accuracy_ci95"]
    if measured["greedy_accuracy"] >= 0.99:
        return " (as good as perfect)"
    if chance == 0:
        return ""
    if low <= chance <= high:
        return " (a blind guess)" if chance != 0.5 else " (a coin flip)"
    return " (above a blind guess)" if low > chance else " (below a blind guess)"


def _change(before: dict[str, Any], after: dict[str, Any], limit: float | None) -> str:
    """The effect of RL as a verb, by whether the two 95 % intervals overlap; limit: theory's accuracy."""
    (low, high), (new_low, new_high) = before["greedy_accuracy_ci95"], after["greedy_accuracy_ci95"]
    if new_low > high:
        if after["greedy_accuracy"] >= 0.99:
            return "lift this to"
        return "raise this to" if limit is None or limit < 0.99 else "raise this only to"
    if new_high < low:
        return "lower this to"
    return "do not change this beyond chance: it is"
