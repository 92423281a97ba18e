"""What theory predicts, drawn: where greedy answers are long, what is sampled, and how RL moves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from chainlift.report.figures.curves import BASELINE, GREEDY, SAMPLED, THEORY
from chainlift.theory.closed_forms import (
    go_on_probability,
    greedy_length_median,
    sampled_accuracy,
    sampled_long_share,
    threshold,
)
from chainlift.theory.mode_policy import Setting

ENDINGS = (".png", ".pdf")
SHARES = np.linspace(0.002, 0.998, 250)
MODULI = range(2, 13)
COLD, HOT = 0.25, 4.0
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.95)


def write(path: Path, setting: Setting, told: dict[str, Any]) -> Path:
    """`path`, where `overview` now stands; ValueError in one line if it ends otherwise or cannot be written."""
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"cannot draw into {path}: its name must end in {' or '.join(ENDINGS)}")
    try:
        overview(setting, told).savefig(path, dpi=160)
    except OSError as error:
        raise ValueError(f"cannot draw into {path}: {error.strerror or error}") from error
    return path


def overview(setting: Setting, told: dict[str, Any]) -> Figure:
    """Four panels of a forecast (theory/forecast.py): p_cot x K, p_cot x temperature, length over p_cot, RL."""
    figure = Figure(figsize=(11, 8.6), layout="constrained")
    axes = figure.subplots(2, 2)
    _moduli(figure, axes[0][0], setting, told)
    _temperatures(figure, axes[0][1], setting, told)
    _lengths(axes[1][0], setting, told)
    _learning(axes[1][1], setting, told)
    return figure


def _moduli(figure: Figure, ax: Axes, setting: Setting, told: dict[str, Any]) -> None:
    """The probability on which greedy decides, over p_cot and K, and the threshold."""
    moduli = [*MODULI] if setting.modulus in MODULI else [*MODULI, setting.modulus]
    decide = [[p if setting.marker else go_on_probability(p, K) for p in SHARES] for K in moduli]
    rows = np.arange(len(moduli))
    norm = TwoSlopeNorm(0.5, 0, 1)
    mesh = ax.pcolormesh(SHARES, rows, decide, cmap="RdBu", norm=norm, shading="nearest", rasterized=True)
    figure.colorbar(mesh, ax=ax, label="probability of the long form where greedy chooses")
    edges = np.repeat([threshold(K, marker=setting.marker) for K in moduli], 2)
    ax.plot(edges, np.stack([rows - 0.5, rows + 0.5]).T.ravel(), color="black", linewidth=1.6)
    ax.plot(told["setting"]["p_cot"], moduli.index(setting.modulus), "o", **_POINT)
    ax.set_yticks(rows, [str(K) for K in moduli])
    ax.set_ylabel("modulus K")
    _shares_axis(ax)
    formula = "1/2" if setting.marker else "1/(K + 1)"
    ax.set_title(f"Greedy answers: long right of the line, {formula}", loc="left", fontweight="bold")


def _temperatures(figure: Figure, ax: Axes, setting: Setting, told: dict[str, Any]) -> None:
    """The long share of samples over p_cot and temperature; greedy's threshold does not depend on it."""
    K, marker = setting.modulus, setting.marker
    own = setting.temperature  # the axis reaches as far as the setting's own
    temperatures = np.geomspace(min(COLD, own), max(HOT, own), 120)
    share = np.array([[sampled_long_share(p, K, t, marker=marker) for p in SHARES] for t in temperatures])
    mesh = ax.pcolormesh(
        SHARES, temperatures, share, cmap="viridis", vmin=0, vmax=1, shading="nearest", rasterized=True
    )
    figure.colorbar(mesh, ax=ax, label="long share of samples")
    lines = ax.contour(SHARES, temperatures, share, levels=LEVELS, colors="white", linewidths=0.8)
    ax.clabel(lines, fontsize=8)
    ax.axvline(threshold(K, marker=marker), color="black", linewidth=1.6, label="greedy turns long")
    ax.legend(loc="upper right", fontsize=9)
    ax.axhline(1, color="black", linewidth=0.8, linestyle=":")
    ax.plot(told["setting"]["p_cot"], setting.temperature, "o", **_POINT)
    ax.set_yscale("log")
    ticks = sorted({0.25, 0.5, 1, 2, 4, own})
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_ylabel("temperature")
    _shares_axis(ax)
    ax.set_title(f"Samples, K = {K}: calibrated at temperature 1", loc="left", fontweight="bold")


def _lengths(ax: Axes, setting: Setting, told: dict[str, Any]) -> None:
    """Lengths and accuracies over p_cot, greedy and sampled."""
    K, d, marker = setting.modulus, setting.d, setting.marker
    sampled = [sampled_long_share(p, K, setting.temperature, marker=marker) for p in SHARES]
    ax.plot(SHARES, [greedy_length_median(d, K, p, marker=marker) for p in SHARES], color=GREEDY, label="greedy length")
    ax.plot(SHARES, [1 + marker + (d - 1) * s for s in sampled], "--", color=SAMPLED, label="mean sampled length")
    ax.axvline(told["setting"]["p_cot"], color="black", linewidth=0.8, linestyle=":", label="this setting")
    ax.set_ylabel("tokens")
    right = ax.twinx()
    options: dict[str, Any] = {"marker": marker, "q": setting.q}
    accuracies = [sampled_accuracy(p, K, setting.temperature, **options) for p in SHARES]
    right.plot(SHARES, accuracies, "-.", color=THEORY, label="sampled accuracy")
    right.set_ylim(0, 1.05)
    right.set_ylabel("accuracy")
    ax.set_ylim(0, (d + marker) * 1.05)
    _shares_axis(ax)
    handles = [*ax.get_lines(), *right.get_lines()]
    _legend_below(ax, handles)
    ax.set_title("After next-token prediction", loc="left", fontweight="bold")


def _learning(ax: Axes, setting: Setting, told: dict[str, Any]) -> None:
    """Long share and accuracies under RL: STaR by rounds, or the reference of a policy gradient by updates."""
    found = told["reference"]
    shares = told["star_long_shares"] if found is None else found["long_share"]
    if found is None:
        ax.plot(shares, "o-", drawstyle="steps-post", markersize=4, color=SAMPLED, label="long share (samples)")
        flip, unit, name = told["star_rounds_to_flip"], "rounds", "STaR"
    else:
        ax.plot(shares, "--", color=SAMPLED, label="long share (samples)")
        ax.plot(found["accuracy"], color=THEORY, linestyle="-.", label="accuracy (samples)")
        ax.plot(found["greedy_accuracy"], color=GREEDY, drawstyle="steps-post", label="accuracy (greedy)")
        flip, unit, name = found["updates_to_flip"], f"updates of {found['step']:g} log-odds each", found["algorithm"]
    if flip is not None and flip < len(shares):
        ax.axvline(flip, color=BASELINE, linewidth=1, linestyle=":", label="greedy answers become long")
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel(unit)
    _legend_below(ax, ax.get_lines())
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.set_title(f"Reference under {name}, without noise", loc="left", fontweight="bold")


_POINT: dict[str, Any] = {"color": "white", "markeredgecolor": "black", "markersize": 8, "clip_on": False, "zorder": 5}


def _shares_axis(ax: Axes) -> None:
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of long demonstrations, p_cot")


def _legend_below(ax: Axes, lines: Sequence[Line2D]) -> None:
    names = [str(line.get_label()) for line in lines]
    ax.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=9, frameon=False)
