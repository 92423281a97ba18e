"""The command `chainlift bench`: its options, its measurements and its report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from chainlift.bench import memory, peers, states, whole
from chainlift.bench.language.suite import TextSuite, suite_of
from chainlift.bench.machine import DTYPES, Machine, pick_device
from chainlift.bench.progress import Steps
from chainlift.bench.result import Result
from chainlift.bench.result import measure as measure_comparison
from chainlift.bench.states import States
from chainlift.bench.suite import ACTIONS, Suite
from chainlift.bench.timing import Comparison
from chainlift.bench.whole import Whole
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import environment
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    source: str = "headline"
    overrides: list[str] = field(default_factory=list)
    run: Path | None = None
    """A finished run with the states, instead of the recipe's run under `out`."""
    out: Path = Path("runs")
    only: tuple[str, ...] = ACTIONS
    device: str = "auto"
    """auto: the recipe's device; if that is auto too, cuda if available."""
    dtypes: tuple[str, ...] = ("float32",)
    threads: int | None = None
    repeats: int | None = None
    """None: 9 repetitions, or 3 whole runs."""
    memory: bool = True
    whole: bool = False
    trust: bool = False
    """Whether to import code named by the recipe's file or the run's."""

    def recipe(self) -> Recipe:
        """The recipe to measure; ValueError in one line if the recipe or the options do not allow it."""
        recipe = self._recipe()
        if recipe.is_text and (self.whole or self.dtypes != ("float32",)):
            raise ValueError("--whole and --dtype do not apply to text; model.weights is the type of the weights")
        states.check_family(recipe)
        if self.whole:
            if self.run is not None or self.only != ACTIONS:
                raise ValueError("--whole runs everything; leave --run and --only out")
            if len(self.dtypes) > 1:
                raise ValueError("--whole: --dtype both is not possible; run it once for each")
            whole.check(recipe)
        elif set(self.only) != {"stage1"}:
            states.check(recipe)
        return recipe

    @property
    def num_repeats(self) -> int:
        """Number of repetitions, with the default filled in."""
        return self.repeats or (3 if self.whole else 9)

    def machines(self, recipe: Recipe) -> list[Machine]:
        """Devices and precisions to measure on; ValueError for an unavailable device."""
        device = pick_device(recipe.device if self.device == "auto" else self.device)
        dtypes = (str(recipe.model.model_dump()["weights"]),) if recipe.is_text else self.dtypes
        return [Machine(device, dtype) for dtype in dtypes]

    def _recipe(self) -> Recipe:
        if self.run is None:
            return recipes.load(self.source, self.overrides, trust=self.trust)
        if self.overrides or self.source != "headline":
            raise ValueError("--run has a recipe of its own: leave RECIPE and KEY=VALUE out")
        return states.of_run(self.run, trust=self.trust).recipe


@dataclass
class Report:
    """All measurements of one command."""

    environment: dict[str, Any]
    recipe: str
    repeats: int
    missing: str | None
    """Why the peers cannot be timed; None if they can."""
    results: list[Result] = field(default_factory=list)
    whole: Whole | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {
            "environment": self.environment,
            "recipe": self.recipe,
            "repeats": self.repeats,
            "peers": self.missing is None,
            "comparisons": [result.as_dict() for result in self.results],
            "whole": None if self.whole is None else self.whole.as_dict(),
        }


def parse_only(text: str) -> tuple[str, ...]:
    """Actions of a comma-separated list; ValueError for an unknown one."""
    actions = tuple(part.strip() for part in text.split(","))
    unknown = [part for part in actions if part not in ACTIONS]
    if unknown:
        raise ValueError(f"--only: {unknown[0]!r} is not an action; allowed: {', '.join(ACTIONS)}")
    return actions


def parse_dtype(text: str) -> tuple[str, ...]:
    """Precisions named by --dtype; ValueError lists the known ones."""
    if text == "both":
        return tuple(DTYPES)
    if text not in DTYPES:
        raise ValueError(f"--dtype: {text!r} is not known; allowed: {', '.join(DTYPES)}, both")
    return (text,)


def measure(options: Options, reporter: Reporter, tell: Tell) -> Report:
    """Make all requested measurements; `tell` receives the lines of each as soon as it is complete.

    ValueError for options that the user can correct; errors of a run, if the states need one, pass through.
    """
    recipe = options.recipe()
    machines = options.machines(recipe)
    missing = peers.missing()
    if missing is not None:
        reporter.say(missing)
    with _threads(options.threads or recipe.threads), TemporaryDirectory() as scratch:
        report = Report(environment.describe(machines[0].device), recipe.run_id, options.num_repeats, missing)
        if options.whole:
            (machine,) = machines
            changes = {"device": machine.device, "dtype": machine.dtype, "threads": torch.get_num_threads()}
            report.whole = whole.compare(
                recipe.model_copy(update=changes),
                options.num_repeats,
                with_weld=missing is None,
                before=reporter.say,
                after=lambda run: tell(run.line),
            )
            return report
        session = _Session(options.num_repeats, Steps(reporter.console), tell)
        measured_states = _states(options, recipe, reporter, Path(scratch))
        suites = [suite_of(measured_states, machine, peers=missing is None, only=options.only) for machine in machines]
        session.of_suites(suites, report, with_memory=options.memory)
        return report


def _states(options: Options, recipe: Recipe, reporter: Reporter, scratch: Path) -> States:
    """The model states to measure."""
    if options.run is not None:
        return states.of_run(options.run, trust=options.trust)
    if set(options.only) == {"stage1"}:
        return states.save_new(recipe, scratch)
    return states.trained(recipe, options.out, reporter)


@dataclass
class _Session:
    """Repeats measurements, shows progress and reports results."""

    repeats: int
    steps: Steps
    tell: Tell

    def of_suites(self, suites: Sequence[Suite | TextSuite], report: Report, *, with_memory: bool) -> None:
        """Measure every comparison of every suite."""
        todo = [(suite, comparison) for suite in suites for comparison in suite.comparisons()]
        with self._shown((comparison for _, comparison in todo), with_memory=with_memory):
            for suite, comparison in todo:
                self.steps.title = comparison.title
                result = measure_comparison(comparison, suite.machine, self.repeats, self.steps.tick)
                for case in comparison.cases if with_memory else ():
                    result.memory[case.name] = memory.added(suite, comparison, case, torch.get_num_threads())
                    self.steps.tick()
                report.results.append(result)
                self.tell("\n".join(result.lines()))

    def _shown(self, comparisons: Iterable[Comparison], *, with_memory: bool = False) -> AbstractContextManager[None]:
        """Show progress through comparisons; measuring the memory of a case counts as one more step."""
        return self.steps.of(
            sum(len(comparison.cases) for comparison in comparisons) * (self.repeats + 1 + with_memory)
        )


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Set PyTorch's number of threads inside the block."""
    previous = torch.get_num_threads()
    torch.set_num_threads(number or previous)
    try:
        yield
    finally:
        torch.set_num_threads(previous)
