"""The curves of a run as tables: what matplotlib and plotly both draw, and what the csv files hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from chainlift.report.figures.reference import references
from chainlift.report.record import Record
from chainlift.runs.course import StageView

# Okabe and Ito's palette: told apart by colour-blind readers, and the same in every figure.
GREEDY, SAMPLED, BASELINE, THEORY = "#0072B2", "#D55E00", "#7A7A7A", "#009E73"

QUANTITIES = {
    "accuracy": "accuracy",
    "length_median": "length (median, tokens)",
    "long_share": "share of long responses",
}
THEORY_KEYS = {
    ("greedy", "accuracy"): "greedy_accuracy",
    ("sampled", "accuracy"): "sampled_accuracy",
    ("greedy", "length_median"): "greedy_length_median",
    ("sampled", "long_share"): "sampled_long_share",
}


@dataclass(frozen=True)
class Curve:
    """One quantity of one mode over the sequences of one panel; low and high are 95 % limits where there are some."""

    panel: str
    """The stage whose panel it is in: its own, or for a baseline the one that it goes on from."""
    name: str
    mode: str
    quantity: str
    sequences: list[int]
    values: list[float]
    low: list[float] | None
    high: list[float] | None
    is_baseline: bool = False


def lift(record: Record) -> list[Curve]:
    """All measured curves, each stage over its sequences; a baseline goes on where its start ended."""
    found = []
    for stage in record.stages:
        rows = record.of(stage.name, "evaluation")
        if not rows:
            continue
        panel, offset = stage.name, 0
        if stage.is_baseline and stage.start is not None:
            panel, offset = stage.start, _sequences(record, stage.start)
        for mode in ("greedy", "sampled"):
            for quantity in QUANTITIES:
                curve = _curve(rows, panel, f"baseline, {mode}" if stage.is_baseline else mode, mode, quantity, offset)
                found.append(replace(curve, is_baseline=stage.is_baseline))
    return found


def panels(record: Record) -> dict[str, tuple[str, str]]:
    """{stage: (title, unit of its sequences)} of the stages that have a panel, in order."""
    drawn = {curve.panel for curve in lift(record)}
    return {stage.name: (stage.title, stage.unit) for stage in record.stages if stage.name in drawn}


def _curve(rows: list[dict[str, Any]], panel: str, name: str, mode: str, quantity: str, offset: int) -> Curve:
    """One curve of evaluation rows."""
    intervals = [row[mode].get(f"{quantity}_ci95") for row in rows]
    bounded = all(interval is not None for interval in intervals)
    return Curve(
        panel=panel,
        name=name,
        mode=mode,
        quantity=quantity,
        sequences=[row["sequences"] + offset for row in rows],
        values=[row[mode][quantity] for row in rows],
        low=[interval[0] for interval in intervals] if bounded else None,
        high=[interval[1] for interval in intervals] if bounded else None,
    )


def _sequences(record: Record, stage: str) -> int:
    """Sequences at the end of a stage, as far as it has come."""
    rows = record.of(stage, "evaluation")
    return rows[-1]["sequences"] if rows else 0


def theory(record: Record, panel: str, mode: str, quantity: str) -> float | None:
    """The predicted level of a quantity in a panel, None where theory says nothing or the run is unfinished."""
    if record.summary is None or (mode, quantity) not in THEORY_KEYS:
        return None
    return record.summary["theory"]["stages"].get(panel, {}).get(THEORY_KEYS[mode, quantity])


def lift_table(record: Record) -> list[dict[str, Any]]:
    """The curves, and the reference of RL, as rows for a csv file."""
    measured = [
        {
            "panel": curve.panel,
            "curve": curve.name,
            "quantity": curve.quantity,
            "sequences": x,
            "value": y,
            "low": None if curve.low is None else curve.low[i],
            "high": None if curve.high is None else curve.high[i],
            "theory": theory(record, curve.panel, curve.mode, curve.quantity),
        }
        for curve in lift(record)
        for i, (x, y) in enumerate(zip(curve.sequences, curve.values, strict=True))
    ]
    bare = {"low": None, "high": None, "theory": None}
    predicted = [
        {
            "panel": one.stage,
            "curve": f"{one.name}, {one.mode}",
            "quantity": one.quantity,
            "sequences": x,
            "value": y,
            **bare,
        }
        for one in references(record)
        for x, y in zip(one.sequences, one.values, strict=True)
    ]
    return measured + predicted


def lengths_table(record: Record) -> list[dict[str, Any]]:
    """How often each response length occurs at the end of each stage that is no baseline, as rows."""
    found = []
    for stage in record.measured_stages:
        row = record.last_evaluation(stage.name)
        assert row is not None
        for mode in ("greedy", "sampled"):
            total = sum(row[mode]["length_histogram"].values())
            for length, count in row[mode]["length_histogram"].items():
                found.append({"stage": stage.name, "mode": mode, "length": int(length), "share": count / total})
    return found


SIGNALS = ("groups_all_right", "groups_all_wrong", "groups_mixed", "kept_share", "reward_mean", "long_share")
TRACES = ("entropy", "grad_norm", "clip_fraction", "length_mean")


def signal_stages(record: Record) -> list[StageView]:
    """The stages whose updates tell how much signal their groups of samples carried."""
    return [stage for stage in record.stages if any(SIGNALS[0] in row for row in record.of(stage.name, "update")[:1])]


def signal_table(record: Record, stage: str) -> list[dict[str, Any]]:
    """The signal statistics of a stage of RL, one row an update."""
    return [
        {"step": row["step"], **{name: row[name] for name in (*SIGNALS, *TRACES)}} for row in record.of(stage, "update")
    ]
