"""The page's interactive charts: plotly figures made from the same tables as the static ones."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from chainlift.report.figures import curves
from chainlift.report.figures.curves import BASELINE, GREEDY, QUANTITIES, SAMPLED, THEORY
from chainlift.report.figures.reference import references
from chainlift.report.record import Record

COLOURS = {"greedy": GREEDY, "sampled": SAMPLED}
GROUPS = {"groups_all_right": THEORY, "groups_mixed": "#E69F00", "groups_all_wrong": SAMPLED}
SHORT_NAMES = {"accuracy": "accuracy", "length_median": "length", "long_share": "long share"}


def all_charts(record: Record) -> dict[str, dict[str, Any]]:
    """Plotly figures as JSON-ready dictionaries by name; those without data are left out."""
    charts: dict[str, go.Figure] = {}
    if record.measured_stages:
        charts["lift"] = lift(record)
        charts["lengths"] = lengths(record)
    for stage in curves.signal_stages(record):
        charts[f"signal-{stage.name}"] = signal(record, stage.name)
        charts[f"traces-{stage.name}"] = traces(record, stage.name)
    return {name: chart.to_plotly_json() for name, chart in charts.items()}


def lift(record: Record) -> go.Figure:
    """Accuracy, length and long share over sequences, the stages side by side on shared vertical axes."""
    found = curves.lift(record)
    titles = curves.panels(record)
    panels = list(titles)
    figure = make_subplots(
        len(QUANTITIES),
        len(panels),
        shared_yaxes=True,
        shared_xaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.06,
        column_titles=[f"{title}<br>({unit})" for title, unit in titles.values()],
    )
    named: set[str] = set()
    for curve in found:
        row, column = list(QUANTITIES).index(curve.quantity) + 1, panels.index(curve.panel) + 1
        colour = BASELINE if curve.is_baseline else COLOURS[curve.mode]
        figure.add_scatter(
            x=curve.sequences,
            y=curve.values,
            name=curve.name,
            legendgroup=curve.name,
            showlegend=curve.name not in named,
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": "dot" if curve.mode == "sampled" else "solid"},
            marker={"size": 4},
            error_y=_bars(curve),
            row=row,
            col=column,
        )
        named.add(curve.name)
        level = curves.theory(record, curve.panel, curve.mode, curve.quantity)
        if level is not None and not curve.is_baseline:
            figure.add_scatter(
                x=[curve.sequences[0], max(max(c.sequences) for c in found if c.panel == curve.panel)],
                y=[level, level],
                name="theory",
                legendgroup="theory",
                showlegend="theory" not in named,
                mode="lines",
                line={"color": THEORY, "width": 1.5, "dash": "dash"},
                hovertemplate=f"theory, {curve.mode}: %{{y:.4g}}<extra></extra>",
                row=row,
                col=column,
            )
            named.add("theory")
    for reference in references(record):
        figure.add_scatter(
            x=reference.sequences,
            y=reference.values,
            name="reference",
            legendgroup="reference",
            showlegend="reference" not in named,
            mode="lines+markers" if reference.by_round else "lines",
            line={"color": THEORY, "width": 1, "dash": "dot" if reference.mode == "sampled" else "solid"},
            marker={"symbol": "diamond-open", "size": 7},
            hovertemplate=f"{reference.name}, {reference.mode}: %{{y:.4g}}<extra></extra>",
            row=list(QUANTITIES).index(reference.quantity) + 1,
            col=panels.index(reference.stage) + 1,
        )
        named.add("reference")
    for row, quantity in enumerate(QUANTITIES, start=1):
        figure.update_yaxes(title_text=SHORT_NAMES[quantity], row=row, col=1)
    return _styled(figure, height=640)


def _bars(curve: curves.Curve) -> dict[str, Any] | None:
    """Error bars from a curve's 95 % limits."""
    if curve.low is None or curve.high is None:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for high, value in zip(curve.high, curve.values, strict=True)],
        "arrayminus": [value - low for low, value in zip(curve.low, curve.values, strict=True)],
        "thickness": 1,
        "width": 0,
    }


def lengths(record: Record) -> go.Figure:
    """Shares of response lengths at the end of each stage."""
    table = curves.lengths_table(record)
    names = {stage.name: stage.column for stage in record.measured_stages}
    stages = list(names)
    figure = make_subplots(1, len(stages), shared_yaxes=True, column_titles=list(names.values()))
    for column, stage in enumerate(stages, start=1):
        for offset, (mode, colour) in zip((-0.4, 0.0), COLOURS.items(), strict=True):
            rows = [row for row in table if row["stage"] == stage and row["mode"] == mode]
            figure.add_bar(
                x=[row["length"] for row in rows],
                y=[row["share"] for row in rows],
                name=mode,
                legendgroup=mode,
                showlegend=column == 1,
                marker_color=colour,
                width=0.4,
                offset=offset,
                row=1,
                col=column,
            )
        figure.update_xaxes(title_text="tokens", row=1, col=column)
    figure.update_yaxes(title_text="share", row=1, col=1)
    return _styled(figure, height=320)


def signal(record: Record, stage: str) -> go.Figure:
    """Shares of groups that are all right, mixed and all wrong at each update."""
    table = curves.signal_table(record, stage)
    figure = go.Figure()
    for name, colour in GROUPS.items():
        figure.add_scatter(
            x=[row["step"] for row in table],
            y=[row[name] for row in table],
            name=name.removeprefix("groups_").replace("_", " "),
            stackgroup="groups",
            mode="lines",
            line={"color": colour, "width": 0.5},
        )
    figure.update_xaxes(title_text="RL updates")
    figure.update_yaxes(title_text="share of groups", range=[0, 1])
    return _styled(figure, height=320)


def traces(record: Record, stage: str) -> go.Figure:
    """Gradient norm, entropy, share of samples with an advantage, and clip fraction at each update."""
    table = curves.signal_table(record, stage)
    names = {
        "grad_norm": "gradient norm",
        "entropy": "entropy",
        "kept_share": "with advantage",
        "clip_fraction": "clipped",
    }
    figure = make_subplots(2, 2, shared_xaxes=True, subplot_titles=list(names.values()), vertical_spacing=0.16)
    for i, name in enumerate(names):
        figure.add_scatter(
            x=[row["step"] for row in table],
            y=[row[name] for row in table],
            name=names[name],
            mode="lines",
            line={"color": GREEDY},
            showlegend=False,
            row=i // 2 + 1,
            col=i % 2 + 1,
        )
    figure.update_yaxes(rangemode="tozero")
    for i, name in enumerate(names):
        if not any(row[name] for row in table):  # plotly would draw a curve of zeros between -1 and 1
            figure.update_yaxes(range=[0, 1], row=i // 2 + 1, col=i % 2 + 1)
    return _styled(figure, height=360)


def _styled(figure: go.Figure, *, height: int) -> go.Figure:
    """The look that all charts share; colours of text and grid follow the page (page.html.jinja)."""
    return figure.update_layout(
        template="none",
        height=height,
        margin={"l": 56, "r": 12, "t": 44, "b": 44},
        legend={"orientation": "h", "y": 1.12, "x": 0, "yanchor": "bottom"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        hovermode="closest",
        bargap=0.1,
    )
