"""Estimated time of a run on this machine, from a few timed steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chainlift.runs import environment
from chainlift.stages.planning import needs
from chainlift.stages.planning.timing import Stopwatch
from chainlift.stages.recipe import Recipe


@dataclass(frozen=True)
class Cost:
    """Seconds of a run; upper bounds for RL and evaluations, as every response is taken to be long."""

    stages: Mapping[str, float | None] = field(default_factory=dict)
    """Seconds of each stage; None if its kind has no estimate, or another stage decides its length."""
    evaluations: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of all parts with an estimate."""
        return sum(seconds or 0.0 for seconds in self.stages.values()) + self.evaluations

    def without(self, stages: set[str]) -> float:
        """Seconds, if these stages are finished already."""
        return self.seconds - sum(self.stages.get(name) or 0.0 for name in stages)

    def __str__(self) -> str:
        parts = [
            f"{name} about {readable_seconds(seconds)}" for name, seconds in self.stages.items() if seconds is not None
        ]
        unknown = [name for name, seconds in self.stages.items() if seconds is None]
        left_out = f", without {', '.join(unknown)}" if unknown else ""
        return f"{', '.join([*parts, f'evaluations at most {readable_seconds(self.evaluations)}'])}{left_out}"


def estimate(recipe: Recipe) -> Cost:
    """Estimate the cost of a run on this machine, by a few timed updates of each stage."""
    needs.check(recipe, environment.pick_device(recipe.device))
    stopwatch, evaluate = _stopwatch(recipe), recipe.evaluate
    num_small, num_full = 0, 0
    for stage in recipe.stages.values():
        small, full = stage.num_evaluations(evaluate)
        num_small, num_full = num_small + small, num_full + full
    responses = 2 * (num_small * evaluate.during + num_full * evaluate.prompts)  # greedy and sampled
    responses += len(recipe.stages) * evaluate.pass_at_k_prompts * evaluate.pass_at_k_samples
    seconds = {name: stage.seconds(stopwatch) for name, stage in recipe.stages.items()}
    return Cost(seconds, responses * stopwatch.decoded_response())


def _stopwatch(recipe: Recipe) -> Any:
    """The stopwatch for the recipe's kinds of stages."""
    if recipe.by_trl:
        from chainlift.stages.trl.timing import TextStopwatch

        return TextStopwatch(recipe)
    return Stopwatch(recipe)


def readable_seconds(seconds: float) -> str:
    """Seconds in readable units."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
