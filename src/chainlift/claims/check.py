"""One row of a claim's table of checks, and how rows and finished runs become findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chainlift.claims.finished import Finished, after, setting_of
from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe

Row = Callable[[Sequence[Finished]], list[Finding]]
"""What turns finished runs into findings: a `Check`, a `Threshold`, or a function of a claim's own."""

P = "mixture.p_cot"
SHARES = ("accuracy", "share", "exactness", "probability")


@dataclass(frozen=True)
class Place:
    """Where a quantity was measured."""

    recipe: Recipe
    x: Any = None
    """On the check's axis; None without one."""

    @property
    def p(self) -> float:
        """p_cot."""
        return self.recipe.mixture.last

    @property
    def d(self) -> int:
        """Digits of the task."""
        return self.recipe.setting("task.d")


@dataclass(frozen=True)
class Axis:
    """What a quantity is measured over: a setting of the recipe, or the evaluations of a run."""

    name: str
    """On a figure."""
    label: str
    """How a place is called: a format of `x` and, where a check has series, of `series`."""
    setting: tuple[str, ...] = ()
    """Dotted keys of the recipe; with several of them, x is a tuple, and is not drawn."""
    evaluations: Literal["step", "sequences", "number", ""] = ""
    """What counts a stage's evaluations: a key of their rows, or their number from 0 on."""
    from_start: bool = True
    """Whether the evaluation at 0 is among them."""


P_COT = Axis("p_cot", "{series}, p_cot {x:g}", (P,))
RL_UPDATES = Axis("RL updates", "{x} updates", evaluations="step")
Measured = str | Callable[[Finished], "float | Mapping[Any, float]"]
Predicted = float | None | Callable[[Place], float | None]


@dataclass(frozen=True)
class Check:
    """A quantity, what is predicted of it, and how far from that it may be; a finding for each place on its axis."""

    quantity: str
    key: Measured
    """Of the stage's summary; with an axis of evaluations `mode.key` of their rows; or a function of the run, which
    may give {x: value} where the axis is neither of settings nor of evaluations."""
    predicted: Predicted = None
    """A number, or a function of the place; None where nothing is predicted."""
    allowed: float = 0.0
    """The largest distance from what is predicted."""
    stage: str = "pretrain"
    check: Literal["each", "mean", "interval", "at_least"] = "each"
    """What is compared with the prediction, see Finding."""
    axis: Axis | None = None
    series: str = ""
    """What tells runs apart besides the axis, as a format of `recipe`: a figure's curve. Without an axis it is the
    setting of the finding."""
    where: Callable[[Recipe], bool] = lambda recipe: True
    """Which runs."""
    note: str = ""
    share: bool | None = None
    """Whether the values are shares; None: as the key says."""

    def __call__(self, finished: Sequence[Finished]) -> list[Finding]:
        """The findings: series in the order in which they first come, each over its axis."""
        places: dict[str, dict[Any, Place]] = {}
        values: dict[tuple[str, Any], dict[int, float]] = {}
        for run in finished:
            if self.where(run.recipe):
                series = self.series.format(recipe=run.recipe)
                for x, value in self._measured(run).items():
                    places.setdefault(series, {}).setdefault(x, Place(run.recipe, x))
                    values.setdefault((series, x), {})[run.recipe.seed] = value
        if len({tuple(sorted(seeds)) for seeds in values.values()}) > 1:
            raise ValueError(f"{self.quantity}: not every seed was measured at every place")
        return [
            self._finding(series, at[x], tuple(values[series, x][seed] for seed in sorted(values[series, x])))
            for series, at in places.items()
            for x in (sorted(at) if self.axis is not None and self.axis.setting else at)
        ]

    def _measured(self, run: Finished) -> Mapping[Any, float]:
        """{x: value} of a run, x None without an axis."""
        axis = self.axis
        if axis is not None and axis.evaluations:
            assert isinstance(self.key, str)
            mode, _, key = self.key.partition(".")
            rows = enumerate(run.evaluations(self.stage))
            counted = {n if axis.evaluations == "number" else row[axis.evaluations]: row[mode][key] for n, row in rows}
            return {x: float(value) for x, value in counted.items() if x > 0 or axis.from_start}
        value = after(self.stage, self.key)(run) if isinstance(self.key, str) else self.key(run)
        if isinstance(value, Mapping):
            return value
        return {setting_of(run.recipe, axis.setting) if axis is not None else None: value}

    def _finding(self, series: str, place: Place, values: tuple[float, ...]) -> Finding:
        """What was measured at one place."""
        predicted = self.predicted(place) if callable(self.predicted) else self.predicted
        share = isinstance(self.key, str) and self.key.endswith(SHARES) if self.share is None else self.share
        judged: dict[str, Any] = {"check": self.check, "note": self.note, "share": share}
        if self.axis is None:
            return Finding(self.quantity, series, values, predicted, self.allowed, **judged)
        setting = self.axis.label.format(series=series, x=place.x).strip(", ")
        if not isinstance(place.x, tuple):
            judged |= {"x": place.x, "axis": self.axis.name, "series": series}
        return Finding(self.quantity, setting, values, predicted, self.allowed, **judged)


def having(key: str, *values: object) -> Callable[[Recipe], bool]:
    """Whether a recipe's setting is one of some values."""
    return lambda recipe: recipe.setting(key) in values


def findings(rows: Sequence[Row], finished: Sequence[Finished]) -> list[Finding]:
    """The findings of all rows, those of one quantity side by side, quantities in the order of their first."""
    lines = [line for row in rows for line in row(finished)]
    order = list(dict.fromkeys(line.quantity for line in lines))
    return sorted(lines, key=lambda line: order.index(line.quantity))
