"""The stages of a run, in order, read from its recipe or summary without importing the kinds of stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chainlift.visible import visible

SHARED = "shared-"
"""Prefix of the folders that hold stages shared by several runs."""


@dataclass(frozen=True)
class StageView:
    """One stage of a run, for tables and figures."""

    name: str
    title: str
    """What the stage does, in words; unique in a run."""
    unit: str
    """The word for its sequences, such as rollouts."""
    start: str | None
    """The stage of this run whose weights it starts from, or None."""
    baseline_of: str | None
    """The stage whose number of tokens it matches, None unless it is a baseline."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its section of the recipe; empty if read from a summary."""
    start_step: int | None = None
    """The step of the stage `start`, None for its end."""

    @property
    def is_baseline(self) -> bool:
        """Whether another stage is compared with it."""
        return self.baseline_of is not None

    @property
    def column(self) -> str:
        """The heading of its measurements in a table."""
        return f"baseline: {self.title}" if self.is_baseline else f"after {self.title}"


def is_text(recipe: Mapping[str, Any]) -> bool:
    """Whether the task of a recorded recipe is a task of text."""
    return isinstance(task := recipe.get("task"), Mapping) and isinstance(task.get("template"), Mapping)


def by_trl(recipe: Mapping[str, Any]) -> bool:
    """Whether a recorded recipe trains a model of transformers, by TRL."""
    return isinstance(model := recipe.get("model"), Mapping) and model.get("family") == "transformers"


def of_recipe(recipe: Mapping[str, Any]) -> list[StageView]:
    """All stages of a recorded recipe; ValueError if it is damaged."""
    stages = _stages(recipe)
    names = {stage.name for stage in stages}
    title_counts = Counter(stage.title for stage in stages)
    return [
        replace(
            stage,
            title=stage.title if title_counts[stage.title] == 1 else f"{stage.title} ({stage.name})",
            start=stage.start if stage.start in names else None,
        )
        for stage in stages
    ]


def main_stages(recipe: Mapping[str, Any]) -> list[StageView]:
    """The stages of a recorded recipe, without baselines."""
    return [stage for stage in of_recipe(recipe) if not stage.is_baseline]


def of_summary(summary: Mapping[str, Any]) -> list[StageView]:
    """All stages of a summary."""
    return [StageView(name, **fields) for name, fields in summary["stages"].items()]


def for_summary(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The `stages` of a run's summary, from its recipe; the inverse of `of_summary`."""
    keys = ("title", "unit", "start", "start_step", "baseline_of")
    return {stage.name: {key: getattr(stage, key) for key in keys} for stage in of_recipe(recipe)}


def _stages(recipe: Mapping[str, Any]) -> list[StageView]:
    sections, stages = recipe.get("stages"), []
    if not isinstance(sections, Mapping):
        raise ValueError("recipe.yaml is damaged: stages must hold names of stages")
    for name, settings in sections.items():
        settings = _checked(name, settings)
        matched = settings.get("match_tokens")
        title = str(settings.get("title") or name) + (" goes on" if matched is not None else "")
        start = settings.get("start")
        start, _, at = start.partition("@") if isinstance(start, str) else (None, "", "")
        step = int(at) if at.isdecimal() else None
        unit = str(settings.get("unit") or "sequences")
        stages.append(StageView(name, title, unit, start, matched, settings, step))
    return stages


def _checked(name: Any, settings: Any) -> Mapping[str, Any]:
    """A stage's section of the recipe; ValueError if it is damaged."""
    is_section = isinstance(name, str) and isinstance(settings, Mapping)
    if is_section and isinstance(settings.get("match_tokens"), str | None):
        return settings
    raise ValueError(f"recipe.yaml is damaged: {visible(str(name))} must hold the keys and values of a stage")
