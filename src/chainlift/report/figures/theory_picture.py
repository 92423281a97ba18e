"""The figure of theory's predictions: when greedy answers are long, samples, and the effect of RL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from chainlift.report.figures import interactive
from chainlift.report.figures.layout import TEMPLATE
from chainlift.report.figures.picture import Line, Lines, Map, Mark, Picture
from chainlift.report.figures.static import draw
from chainlift.theory.closed_forms import (
    go_on_probability,
    greedy_accuracy,
    greedy_length_median,
    sampled_accuracy,
    sampled_long_share,
    threshold,
)
from chainlift.theory.mode_policy import Setting

ENDINGS = (".png", ".pdf", ".html")
SHARES = tuple(np.linspace(0.002, 0.998, 250).tolist())
WHOLE = (0.0, *SHARES, 1.0)
COLD, HOT = 0.25, 4.0
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.95)
P_COT = "share of long demonstrations, p_cot"
SHARE_RANGE = (-0.02, 1.05)
THIS = "this setting"


def write(path: Path, setting: Setting, forecast: dict[str, Any]) -> Path:
    """Write `overview` to `path`, and return it; ValueError in one line for an unknown ending or a failed write."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"cannot draw into {path}: its name must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    picture = overview(setting, forecast)
    try:
        if ending == ".html":
            from plotly.graph_objects import Figure

            figure = interactive.draw(picture)
            Figure(figure["data"], figure["wide"] | {"template": TEMPLATE}).write_html(path)
        else:
            draw(picture).savefig(path, dpi=160)
    except OSError as error:
        raise ValueError(f"cannot draw into {path}: {error.strerror or error}") from error
    return path


def overview(setting: Setting, forecast: dict[str, Any]) -> Picture:
    """The panels of a forecast (theory/forecast.py): p_cot x K, p_cot x temperature, lengths and accuracies, RL."""
    p_cot = forecast["setting"]["p_cot"]
    panels = (
        _moduli(setting, p_cot),
        _temperatures(setting, p_cot),
        *_over_shares(setting, p_cot),
        *_learning(forecast),
    )
    return Picture("theory", "What theory predicts", (), panels)


def _moduli(setting: Setting, p_cot: float) -> Map:
    """Map of the probability that decides greedy answers, over p_cot and K, with the threshold."""
    marker, largest = setting.marker, max(12, setting.modulus)
    moduli = sorted({round(K) for K in np.geomspace(2, largest, 60).tolist()} | {setting.modulus})
    decisive = tuple(tuple(p if marker else go_on_probability(p, K) for p in SHARES) for K in moduli)
    edge = tuple(threshold(K, marker=marker) for K in moduli)
    rows = tuple(map(float, moduli))
    return Map(
        title=f"Greedy answers: long right of the line, {'1/2' if marker else '1/(K + 1)'}",
        row_label="modulus K",
        column_label=P_COT,
        rows=rows,
        columns=SHARES,
        values=(decisive,),
        unit="probability of the long form",
        range=(0.0, 1.0),
        log_rows=True,
        row_ticks=tuple(sorted({2.0, 3.0, 5.0, 8.0, 12.0, float(setting.modulus)})),
        lines=(Line("greedy turns long", edge, (rows,), "predicted"), _point(p_cot, setting.modulus)),
    )


def _temperatures(setting: Setting, p_cot: float) -> Map:
    """Map of the samples' long share over p_cot and temperature, with greedy's threshold, a constant in temperature."""
    K, marker, temperature = setting.modulus, setting.marker, setting.temperature  # which the axis includes
    rows = tuple(np.geomspace(min(COLD, temperature), max(HOT, temperature), 120).tolist())
    share = tuple(tuple(sampled_long_share(p, K, t, marker=marker) for p in SHARES) for t in rows)
    levels = [tuple(float(np.interp(level, row, SHARES)) for row in share) for level in LEVELS]
    edge = threshold(K, marker=marker)
    return Map(
        title=f"Samples, K = {K}: calibrated at temperature 1",
        row_label="temperature",
        column_label=P_COT,
        rows=rows,
        columns=SHARES,
        values=(share,),
        unit="long share of samples",
        range=(0.0, 1.0),
        log_rows=True,
        row_ticks=tuple(sorted({0.25, 0.5, 1.0, 2.0, 4.0, temperature})),
        lines=(
            *(Line(f"{level:g}", x, (rows,), "reference") for level, x in zip(LEVELS, levels, strict=True)),
            Line("temperature 1", (0.0, 1.0), ((1.0, 1.0),), "reference"),
            Line("greedy turns long", (edge, edge), ((rows[0], rows[-1]),), "predicted"),
            _point(p_cot, temperature),
        ),
    )


def _over_shares(setting: Setting, p_cot: float) -> tuple[Lines, Lines]:
    """Panels of lengths and accuracies over p_cot, greedy and sampled."""
    K, d, marker = setting.modulus, setting.d, setting.marker
    marks = (Mark(p_cot, f"p_cot of {THIS}", "event"),)
    share = [sampled_long_share(p, K, setting.temperature, marker=marker) for p in WHOLE]
    lengths = {
        "greedy": [float(greedy_length_median(d, K, p, marker=marker)) for p in WHOLE],
        "sampled": [1 + marker + (d - 1) * s for s in share],
    }
    options: dict[str, Any] = {"marker": marker, "q": setting.q}
    accuracies = {
        "greedy": [greedy_accuracy(p, K, **options) for p in WHOLE],
        "sampled": [sampled_accuracy(p, K, setting.temperature, **options) for p in WHOLE],
    }
    return (
        Lines("After next-token prediction: length", P_COT, "tokens", _lines(lengths),
              marks, y_range=(0.0, (d + marker) * 1.05), form="curves"),
        Lines("After next-token prediction: accuracy", P_COT, "accuracy", _lines(accuracies),
              marks, y_range=SHARE_RANGE, form="curves"),
    )  # fmt: skip


def _learning(forecast: dict[str, Any]) -> list[Lines]:
    """Panel of long share and accuracies under RL: STaR by rounds, or a policy gradient's reference by updates."""
    reference = forecast["reference"]
    if reference is None:
        curves = {"sampled, long share": forecast["star_long_shares"]}
        flip, unit, name = forecast["star_rounds_to_flip"], "rounds", "STaR"
    else:
        names = {"sampled, long share": "long_share", "sampled": "accuracy", "greedy": "greedy_accuracy"}
        curves = {name: reference[key] for name, key in names.items()}
        flip, name = reference["updates_to_flip"], reference["algorithm"]
        unit = f"updates of {reference['step']:g} log-odds each"
    length = len(next(iter(curves.values())))
    if not length:  # STaR keeps nothing
        return []
    steps = tuple(map(float, range(length)))
    lines = tuple(
        Line(name, steps, (tuple(values),), steps=reference is None or name == "greedy")
        for name, values in curves.items()
    )
    marks = (Mark(float(flip), "greedy answers become long"),) if flip is not None and flip < length else ()
    title = f"Reference under {name}, without noise"
    return [Lines(title, unit, "share or accuracy", lines, marks, y_range=SHARE_RANGE, form="curves")]


def _lines(curves: dict[str, list[float]]) -> tuple[Line, ...]:
    """Lines over p_cot from {name: values}; greedy's are steps."""
    return tuple(Line(name, WHOLE, (tuple(values),), steps=name == "greedy") for name, values in curves.items())


def _point(p_cot: float, y: float) -> Line:
    return Line(THIS, (p_cot,), ((float(y),),))
