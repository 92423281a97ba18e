"""The figures of a run, made from its record: measurements, and theory from its summary."""

from __future__ import annotations

from chainlift.report.figures.picture import Form, Line, Lines, Picture
from chainlift.report.record import Record
from chainlift.runs.stage_views import StageView

QUANTITIES = {
    "accuracy": "accuracy",
    "length_median": "length (median, tokens)",
    "long_share": "share of long responses",
}
MODES = ("greedy", "sampled")
SIGNAL: dict[str, tuple[Form, dict[str, str]]] = {
    "groups": ("areas", {"groups_all_right": "all right", "groups_mixed": "mixed", "groups_all_wrong": "all wrong"}),
    "samples": ("curves", {"reward_mean": "mean reward", "long_share": "long", "kept_share": "with an advantage"}),
    "mean length (tokens)": ("curves", {"length_mean": ""}),
    "gradient norm before clipping": ("curves", {"grad_norm": ""}),
    "entropy (nats a token)": ("curves", {"entropy": ""}),
    "share of tokens clipped": ("curves", {"clip_fraction": ""}),
}
"""{panel of the signal of RL: (form, {key of an update's row: name of its line})}."""
SIGNAL_KEYS = tuple(key for _, keys in SIGNAL.values() for key in keys)


def pictures(record: Record) -> list[Picture]:
    """All figures of a run for which data is recorded."""
    whole_run = [lift(record), lengths(record)] if record.measured_stages else []
    return whole_run + [signal(record, stage.name) for stage in signal_stages(record)]


def lift(record: Record) -> Picture:
    """Accuracy, length and long share over sequences, stages side by side; a baseline continues its start's panel."""
    stages = [stage for stage in record.stages if record.of(stage.name, "evaluation")]
    lines: dict[str, dict[str, list[Line]]] = {}
    for stage in stages:
        panel = stage.start if stage.is_baseline and stage.start is not None else stage.name
        for quantity in QUANTITIES:
            lines.setdefault(panel, {}).setdefault(quantity, []).extend(_measured(record, stage, quantity))
    panels = [
        Lines(
            stage.title[:1].upper() + stage.title[1:],
            stage.unit,
            y_label,
            (*_predicted(record, stage.name, quantity, panel_lines[quantity]), *panel_lines[quantity]),
            form="curves",
        )
        for quantity, y_label in QUANTITIES.items()
        for stage in record.stages
        if (panel_lines := lines.get(stage.name)) is not None
    ]
    return Picture("lift", "The course of learning", _seeds(record), tuple(panels), columns=len(lines))


def _measured(record: Record, stage: StageView, quantity: str) -> list[Line]:
    """A quantity in both modes over a stage's sequences; a baseline's sequences count on from the end of its start."""
    rows, offset, prefix = record.of(stage.name, "evaluation"), 0, ""
    if stage.is_baseline and stage.start is not None:
        start, prefix = record.last_evaluation(stage.start), "baseline, "
        offset = 0 if start is None else start["sequences"]
    x = tuple(float(row["sequences"] + offset) for row in rows)
    lines = []
    for mode in MODES:
        limits = [row[mode].get(f"{quantity}_ci95") for row in rows]
        bounded = tuple((low, high) for low, high in limits) if all(limits) else ()
        lines.append(Line(prefix + mode, x, (tuple(row[mode][quantity] for row in rows),), limits=bounded))
    return lines


def _predicted(record: Record, stage: str, quantity: str, measured: list[Line]) -> list[Line]:
    """Predicted levels and reference curves of a panel; none while the run is unfinished."""
    theory = record.summary["theory"] if record.summary else {}
    x = (measured[0].x[0], max(line.x[-1] for line in measured))
    levels = {mode: theory.get("stages", {}).get(stage, {}).get(f"{mode}_{quantity}") for mode in MODES}
    lines = [
        Line(f"{mode}, predicted", x, ((level, level),), "predicted")
        for mode, level in levels.items()
        if level is not None
    ]
    reference = theory.get("reference")
    if reference is None or reference["stage"] != stage:
        return lines
    curves = {mode: reference.get(f"{mode}_{quantity}") for mode in MODES}
    x_reference, steps = tuple(map(float, reference["sequences"])), reference["by_round"]
    return lines + [
        Line(f"{mode}, {reference['name']}", x_reference, (tuple(values),), "reference", steps=steps)
        for mode, values in curves.items()
        if values is not None
    ]


def lengths(record: Record) -> Picture:
    """Shares of response lengths at the end of each stage, baselines excluded."""
    panels = []
    for stage in record.measured_stages:
        row = record.last_evaluation(stage.name)
        assert row is not None
        lines = tuple(_histogram(mode, row[mode]["length_histogram"]) for mode in MODES)
        panels.append(Lines(stage.column, "response length (tokens)", "share of responses", lines, form="bars"))
    return Picture("lengths", "How long the responses are", _seeds(record), tuple(panels), columns=len(panels))


def _histogram(mode: str, counts: dict[str, int]) -> Line:
    total = sum(counts.values())
    return Line(mode, tuple(map(float, counts)), (tuple(count / total for count in counts.values()),))


def signal(record: Record, stage: str) -> Picture:
    """Signal in the groups of a stage of RL at each update, and statistics of its updates."""
    rows = [row for row in record.of(stage, "update") if "groups_mixed" in row]
    x, panels = tuple(float(row["step"]) for row in rows), []
    for title, (form, names) in SIGNAL.items():
        values = {name: [row[key] for row in rows] for key, name in names.items() if key in rows[0]}
        if values:
            lines = tuple(Line(name, x, (tuple(column),)) for name, column in values.items())
            low = min(0.0, *(min(column) for column in values.values()))  # a length penalty makes rewards negative
            top = max(0.0, *(max(column) for column in values.values()))
            y_range = (0.0, 1.0) if form == "areas" or low == top else (1.05 * low, 1.05 * top)
            label = "share of groups" if form == "areas" else ""
            panels.append(Lines(title, "RL updates", label, lines, form=form, y_range=y_range))
    return Picture(f"signal-{stage}", "How much signal RL had", _seeds(record), tuple(panels))


def signal_stages(record: Record) -> list[StageView]:
    """The stages whose updates record the signal in their groups of samples."""
    return [stage for stage in record.stages if any("groups_mixed" in row for row in record.of(stage.name, "update"))]


def _seeds(record: Record) -> tuple[int, ...]:
    return (record.recipe.get("seed", 0),)
