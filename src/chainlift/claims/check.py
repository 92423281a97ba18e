"""A row of a claim's table of checks: what is measured, what is predicted, and the findings over finished runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chainlift.claims.finished import Finished, setting_of, summary_value
from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe

Row = Callable[[Sequence[Finished]], list[Finding]]
"""A function from finished runs to findings: a `Check`, a `Threshold`, or a claim's own function."""

P = "mixture.p_cot"
SHARE_ENDINGS = ("accuracy", "share", "exactness", "probability")
"""Keys with these endings measure shares, from 0 to 1."""


@dataclass(frozen=True)
class Place:
    """A point at which a quantity was measured."""

    recipe: Recipe
    x: Any = None
    """The value on the check's axis; None without an axis."""

    @property
    def p(self) -> float:
        """p_cot, the share of long demonstrations."""
        return self.recipe.mixture.last

    @property
    def d(self) -> int:
        """The number of digits of the task."""
        return self.recipe.setting("task.d")


@dataclass(frozen=True)
class Axis:
    """The axis over which a quantity is measured: a setting of the recipe, or the evaluations of a run."""

    name: str
    """The axis's name on a figure."""
    label: str
    """The label of a place: a format of `x` and, for a check with series, of `series`."""
    setting: tuple[str, ...] = ()
    """Dotted keys of the recipe; with several keys, x is a tuple and enters no figure."""
    evaluations: Literal["step", "sequences", "number", ""] = ""
    """x of a stage's evaluations: a key of their rows, or `number`, which counts them from 0."""
    from_start: bool = True
    """Whether the evaluation at 0 belongs to the axis."""


P_COT = Axis("p_cot", "{series}, p_cot {x:g}", (P,))
RL_UPDATES = Axis("RL updates", "{x} updates", evaluations="step")
Measured = str | Callable[[Finished], "float | Mapping[Any, float]"]
"""A key of a summary, or a function of a run."""
Predicted = float | None | Callable[[Place], float | None]
"""A number, or a function of the place; None: no prediction."""


@dataclass(frozen=True)
class Check:
    """A quantity, its prediction and its tolerance; gives a finding for each place on its axis."""

    quantity: str
    key: Measured
    """A key of the stage's summary; with an axis of evaluations, `mode.key` of their rows; or a function of the run,
    which may return {x: value} if the axis is neither of settings nor of evaluations."""
    predicted: Predicted = None
    """A number, or a function of the place; None: no prediction."""
    allowed: float = 0.0
    """The largest distance from the prediction that passes."""
    stage: str = "pretrain"
    check: Literal["each", "mean", "interval", "at_least"] = "each"
    """The statistic that is compared with the prediction, see Finding."""
    axis: Axis | None = None
    series: str = ""
    """A format of `recipe` that groups runs into series, the curves of a figure. Without an axis it is the setting of
    the finding."""
    where: Callable[[Recipe], bool] = lambda recipe: True
    """Selects the runs by their recipes."""
    note: str = ""
    share: bool | None = None
    """Whether the values are shares; None: the key's ending decides."""

    def __call__(self, finished: Sequence[Finished]) -> list[Finding]:
        """The findings over finished runs: series in the order of their first runs, each over its axis."""
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
            self._finding(series, place_of[x], tuple(values[series, x][seed] for seed in sorted(values[series, x])))
            for series, place_of in places.items()
            for x in (sorted(place_of) if self.axis is not None and self.axis.setting else place_of)
        ]

    def _measured(self, run: Finished) -> Mapping[Any, float]:
        """{x: value} of a run; x is None without an axis."""
        axis = self.axis
        if axis is not None and axis.evaluations:
            assert isinstance(self.key, str)
            mode, _, key = self.key.partition(".")
            rows = enumerate(run.evaluations(self.stage))
            curve = {n if axis.evaluations == "number" else row[axis.evaluations]: row[mode][key] for n, row in rows}
            return {x: float(value) for x, value in curve.items() if x > 0 or axis.from_start}
        value = summary_value(self.stage, self.key)(run) if isinstance(self.key, str) else self.key(run)
        if isinstance(value, Mapping):
            return value
        return {setting_of(run.recipe, axis.setting) if axis is not None else None: value}

    def _finding(self, series: str, place: Place, values: tuple[float, ...]) -> Finding:
        """The finding at one place; `values` has one value for each seed."""
        predicted = self.predicted(place) if callable(self.predicted) else self.predicted
        share = isinstance(self.key, str) and self.key.endswith(SHARE_ENDINGS) if self.share is None else self.share
        options: dict[str, Any] = {"check": self.check, "note": self.note, "share": share}
        if self.axis is None:
            return Finding(self.quantity, series, values, predicted, self.allowed, **options)
        setting = self.axis.label.format(series=series, x=place.x).strip(", ")
        if not isinstance(place.x, tuple):
            options |= {"x": place.x, "axis": self.axis.name, "series": series}
        return Finding(self.quantity, setting, values, predicted, self.allowed, **options)


def having(key: str, *values: object) -> Callable[[Recipe], bool]:
    """A predicate of recipes: whether the setting `key` has one of the values."""
    return lambda recipe: recipe.setting(key) in values


def findings(rows: Sequence[Row], finished: Sequence[Finished]) -> list[Finding]:
    """The findings of all rows, grouped by quantity, in the order in which quantities first occur."""
    unordered = [finding for row in rows for finding in row(finished)]
    quantities = list(dict.fromkeys(finding.quantity for finding in unordered))
    return sorted(unordered, key=lambda finding: quantities.index(finding.quantity))
