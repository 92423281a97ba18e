"""Every source of problems by its name; `register` adds one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainlift.llm import gsm8k, math_data, word_problems
from chainlift.llm.problem import DataSettings, Splits
from chainlift.settings import suggest

Load = Callable[[Any], Splits]

SOURCES: dict[str, tuple[type[DataSettings], Load]] = {}


def register(name: str, settings: type[DataSettings], load: Load) -> None:
    """Make a source known under `name`: its strict settings, with a field `name`, and how to load it from them."""
    SOURCES[name] = (settings, load)


def settings_class(name: object) -> type[DataSettings]:
    """The settings class of the source `name`; ValueError with the known names if there is none."""
    return _find(name)[0]


def source(settings: DataSettings) -> Splits:
    """Training and test problems of the source that its settings describe (their field `name` chooses it).

    Both are limited as the settings say. ValueError in one line where the data cannot be had or has the wrong form.
    """
    return _find(getattr(settings, "name", None))[1](settings)


def _find(name: object) -> tuple[type[DataSettings], Load]:
    """The settings and the loader of a source."""
    known = f"known: {', '.join(SOURCES)}"
    if not isinstance(name, str):
        raise ValueError(f"data.name must be the name of a source (got {name!r}); {known}")
    if name not in SOURCES:
        raise ValueError(f"data.name: {name!r} is not known{suggest(name, SOURCES)}; {known}")
    return SOURCES[name]


register("gsm8k", gsm8k.Gsm8kSettings, gsm8k.load)
register("math", math_data.MathSettings, math_data.load)
register("word_problems", word_problems.WordProblemSettings, word_problems.load)
