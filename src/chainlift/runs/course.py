"""The stages of a run, in order, from its record; nothing of a kind of stage is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chainlift.visible import visible

SHARED = "shared-"
"""How the names of run folders begin that hold what several runs begin with."""


@dataclass(frozen=True)
class StageView:
    """One stage of a run, for tables and figures."""

    name: str
    title: str
    """What it does, in words; no two stages of a run have the same."""
    unit: str
    """What its sequences are."""
    start: str | None
    """The stage whose weights it begins with, None if there is none in this run."""
    baseline_of: str | None
    """The stage whose tokens it matches."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keys and values of the recipe; empty where a summary is all that is known."""
    start_step: int | None = None
    """The step of that stage, None for its end."""

    @property
    def is_baseline(self) -> bool:
        """Whether it is what another stage is compared with."""
        return self.baseline_of is not None

    @property
    def column(self) -> str:
        """What stands above its measurements in a table."""
        return f"baseline: {self.title}" if self.is_baseline else f"after {self.title}"


def is_text(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe on record is of a language model, which reads tasks of text."""
    return isinstance(model := recipe.get("model"), Mapping) and model.get("family") == "transformers"


def of_recipe(recipe: Mapping[str, Any]) -> list[StageView]:
    """The stages of a recipe on record; ValueError if it is damaged."""
    found = _stages(recipe)
    names = {stage.name for stage in found}
    count = Counter(stage.title for stage in found)
    return [
        replace(
            stage,
            title=stage.title if count[stage.title] == 1 else f"{stage.title} ({stage.name})",
            start=stage.start if stage.start in names else None,
        )
        for stage in found
    ]


def main_stages(recipe: Mapping[str, Any]) -> list[StageView]:
    """The stages of a recipe on record, without baselines."""
    return [stage for stage in of_recipe(recipe) if not stage.is_baseline]


def of_summary(summary: Mapping[str, Any]) -> list[StageView]:
    """The stages that a summary tells of."""
    return [StageView(name, **about) for name, about in summary["stages"].items()]


def for_summary(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a summary says of each stage beside what was measured: the inverse of `of_summary`."""
    keys = ("title", "unit", "start", "start_step", "baseline_of")
    return {stage.name: {key: getattr(stage, key) for key in keys} for stage in of_recipe(recipe)}


def _stages(recipe: Mapping[str, Any]) -> list[StageView]:
    stages, found = recipe.get("stages"), []
    if not isinstance(stages, Mapping):
        raise ValueError("recipe.yaml is damaged: stages must hold names of stages")
    for name, settings in stages.items():
        settings = _checked(name, settings)
        matched = settings.get("match_tokens")
        title = str(settings.get("title") or name) + (" goes on" if matched is not None else "")
        start = settings.get("start")
        start, _, at = start.partition("@") if isinstance(start, str) else (None, "", "")
        step = int(at) if at.isdecimal() else None
        found.append(StageView(name, title, str(settings.get("unit") or "sequences"), start, matched, settings, step))
    return found


def _checked(name: Any, settings: Any) -> Mapping[str, Any]:
    """A stage's settings as far as they are used here."""
    is_known = isinstance(name, str) and isinstance(settings, Mapping)
    if is_known and isinstance(settings.get("match_tokens"), str | None):
        return settings
    raise ValueError(f"recipe.yaml is damaged: {visible(str(name))} must hold the keys and values of a stage")
