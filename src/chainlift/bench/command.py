"""Everything that `chainlift bench` measures in one run, from its options to what it prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from chainlift import recipe as recipes
from chainlift.bench import grid, growth, memory, peers, states
from chainlift.bench.growth import Growth
from chainlift.bench.limit import DTYPES, matmul_rate
from chainlift.bench.progress import Steps
from chainlift.bench.result import Result
from chainlift.bench.states import States
from chainlift.bench.suite import ACTIONS, Suite
from chainlift.bench.timing import in_turn, median_seconds
from chainlift.models.blocks import ModelSettings
from chainlift.recipe import Recipe
from chainlift.report.terminal import Reporter
from chainlift.runs import environment

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    source: str = "headline"
    overrides: list[str] = field(default_factory=list)
    run: Path | None = None
    """A finished run to take the states from, in place of the recipe's own under `out`."""
    out: Path = Path("runs")
    only: tuple[str, ...] = ACTIONS
    dtypes: tuple[str, ...] = ("float32",)
    threads: int | None = None
    repeats: int = 9
    memory: bool = True
    grid: bool = False
    fit: bool = False

    def recipe(self) -> Recipe:
        """The recipe whose sizes are measured; ValueError in one line."""
        if self.run is None:
            return recipes.load(self.source, self.overrides)
        if self.overrides or self.source != "headline":
            raise ValueError("--run has a recipe of its own: leave RECIPE and KEY=VALUE out")
        return states.of_run(self.run).recipe


@dataclass
class Report:
    """What has been measured."""

    environment: dict[str, Any]
    recipe: str
    repeats: int
    rates: dict[str, float]
    """Operations a second of plain matrix products, by dtype."""
    missing: str | None
    """Why there are no peers."""
    results: list[Result] = field(default_factory=list)
    grid: list[Result] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "environment": self.environment,
            "recipe": self.recipe,
            "repeats": self.repeats,
            "matmul_gflop_per_second": {dtype: rate / 1e9 for dtype, rate in self.rates.items()},
            "peers": self.missing is None,
            "comparisons": [one.as_dict() for one in self.results],
            "grid": [one.as_dict() for one in self.grid],
            "growth": [one.as_dict() for one in self.growth],
        }


def parse_only(text: str) -> tuple[str, ...]:
    """The actions of a list with commas; ValueError names the first that is none."""
    chosen = tuple(part.strip() for part in text.split(","))
    unknown = [part for part in chosen if part not in ACTIONS]
    if unknown:
        raise ValueError(f"--only: {unknown[0]!r} is no action; allowed: {', '.join(ACTIONS)}")
    return chosen


def parse_dtype(text: str) -> tuple[str, ...]:
    """The precisions that --dtype names; ValueError with the known ones."""
    if text == "both":
        return tuple(DTYPES)
    if text not in DTYPES:
        raise ValueError(f"--dtype: {text!r} is not known; allowed: {', '.join(DTYPES)}, both")
    return (text,)


def measure(options: Options, reporter: Reporter, tell: Tell) -> Report:
    """The measurements that are asked for; `tell` gets each as lines as soon as it is there.

    Raises ValueError for what the user can mend, and what a run raises where one is needed for the states.
    """
    recipe = options.recipe()
    states.check_family(recipe)
    if not (options.grid or options.fit) and set(options.only) != {"stage1"}:
        states.check(recipe)
    if options.grid:
        grid.points(recipe)
    threads = options.threads or recipe.threads
    with _threads(threads):
        assert isinstance(recipe.model, ModelSettings)
        missing = peers.missing()
        if missing is not None:
            reporter.say(missing)
        if options.grid or options.fit:
            report = _report(options, recipe, missing, tell)
            if options.grid:
                _measure_grid(options, recipe, report, reporter, tell)
            if options.fit:
                _measure_growth(options, recipe, report, reporter, tell)
            return report
        with TemporaryDirectory() as scratch:
            found = _states(options, recipe, reporter, Path(scratch))
            report = _report(options, recipe, missing, tell)
            _measure_suites(options, found, report, reporter, tell)
        return report


def _report(options: Options, recipe: Recipe, missing: str | None, tell: Tell) -> Report:
    """A report with this machine's rates, and nothing measured yet."""
    assert isinstance(recipe.model, ModelSettings)
    rates = {dtype: matmul_rate(recipe.model.width, recipe.model.hidden_width, dtype) for dtype in options.dtypes}
    for dtype, rate in rates.items():
        tell(f"limit: {rate / 1e9:.0f} GFLOP/s of plain matrix products in {dtype}")
    return Report(environment.describe("cpu"), recipe.run_id, options.repeats, rates, missing)


def _states(options: Options, recipe: Recipe, reporter: Reporter, scratch: Path) -> States:
    """The states to measure."""
    if options.run is not None:
        return states.of_run(options.run)
    if set(options.only) == {"stage1"}:
        return states.untrained(recipe, scratch)
    return states.trained(recipe, options.out, reporter)


def _measure_suites(options: Options, found: States, report: Report, reporter: Reporter, tell: Tell) -> None:
    """Every comparison in every precision."""
    suites = [Suite(found, dtype, report.missing is None, options.only) for dtype in options.dtypes]
    todo = [(suite, comparison) for suite in suites for comparison in suite.comparisons()]
    rounds = options.repeats + 1 + options.memory  # a process for the memory is taken for one more step
    steps = Steps(reporter.console)
    with steps.of(sum(len(comparison.cases) * rounds for _, comparison in todo)):
        for suite, comparison in todo:
            steps.title = comparison.title
            done = in_turn(comparison.cases, options.repeats, steps.tick)
            added = {}
            for case in comparison.cases if options.memory else ():
                if case.with_memory:
                    added[case.name] = memory.added(suite, comparison, case, torch.get_num_threads())
                steps.tick()
            result = Result(comparison, done, added, report.rates[suite.dtype])
            report.results.append(result)
            tell("\n".join(result.lines()))


def _measure_grid(options: Options, recipe: Recipe, report: Report, reporter: Reporter, tell: Tell) -> None:
    """The sizes of the grid, one after the other."""
    todo = [(dtype, point) for dtype in options.dtypes for point in grid.points(recipe)]
    cases = len(grid.ACTIONS) * (1 if report.missing else 2)
    steps = Steps(reporter.console)
    with steps.of(len(todo) * cases * (options.repeats + 1)):
        for dtype, point in todo:
            assert isinstance(point.model, ModelSettings)
            rate = matmul_rate(point.model.width, point.model.hidden_width, dtype, tries=10)
            with TemporaryDirectory() as scratch:
                for comparison in grid.comparisons(point, dtype, Path(scratch), peers=report.missing is None):
                    steps.title = comparison.title
                    done = in_turn(comparison.cases, options.repeats, steps.tick)
                    report.grid.append(Result(comparison, done, rate=rate))
                    tell("\n".join(report.grid[-1].lines()))


def _measure_growth(options: Options, recipe: Recipe, report: Report, reporter: Reporter, tell: Tell) -> None:
    """The exponents, one axis after the other."""
    todo = [(dtype, axis) for dtype in options.dtypes for axis in growth.AXES]
    steps = Steps(reporter.console)
    with steps.of(sum(len(growth.AXES[axis][1]) for _, axis in todo) * (options.repeats + 1)):
        for dtype, axis in todo:
            with TemporaryDirectory() as scratch:
                comparison, sequences = growth.comparison(recipe, axis, dtype, Path(scratch))
                steps.title = f"{comparison.action}, {axis}"
                done = in_turn(comparison.cases, options.repeats, steps.tick)
            times = [median_seconds(done[case.name]) for case in comparison.cases]
            per_sequence = tuple(time / number for time, number in zip(times, sequences, strict=True))
            found = Growth(axis, f"{comparison.action}, {dtype}", growth.AXES[axis][1], per_sequence)
            report.growth.append(found)
            tell(f"{found.quantity}: grows with {axis} to the power of {found.told}")


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """PyTorch's threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
