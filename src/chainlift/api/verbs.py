"""The verbs of the Python interface; each runs the same code as the command of its name.

Each verb imports what it needs: PyTorch, pandas, matplotlib. A wrong argument is a ValueError of one line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainlift.api.one_run import Run, StoredRecipe
from chainlift.api.pieces import REGISTERED
from chainlift.reading import StrPath
from chainlift.references import texts
from chainlift.settings import suggest

if TYPE_CHECKING:
    from pandas import DataFrame

    from chainlift.stages.recipe import Recipe

    Source = StrPath | Mapping[str, Any] | Recipe
    """A shipped recipe's name, a YAML file, keys and values, or a recipe."""


def run(
    source: Source,
    *overrides: str,
    seed: int | None = None,
    out: StrPath = "runs",
    fresh: bool = False,
    page: bool = True,
    quiet: bool = False,
    trust: bool = False,
) -> Run:
    """Run a recipe under the folder `out`, or continue it where it stopped, and return the finished run.

    overrides: `key=value`, as on the command line. fresh: train all of its stages again. page: write report.html at the
    end. trust: import the code that a recipe's file names. Ctrl-C raises KeyboardInterrupt after the current step; the
    same call goes on from there.
    """
    built = recipe(source, *overrides, seed=seed, trust=trust)
    from chainlift.report.pages import last_page
    from chainlift.report.terminal.reporter import Reporter
    from chainlift.stages import pipeline

    reporter, out = Reporter(quiet=quiet), Path(out)
    with _ctrl_c():
        pipeline.run(built, out, reporter, fresh=fresh, page=last_page.written if page else None)
    return Run(out / built.run_id, trust=True)  # its code has just run


def open(folder: StrPath, *, trust: bool = False) -> Run:
    """Open a run folder, finished or not; ValueError for any other path."""
    folder = Path(folder)
    if not folder.is_dir():
        siblings = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ValueError(f"{folder} is not a folder{suggest(folder.name, siblings)}")
    if not (folder / "recipe.yaml").is_file() and any(folder.glob("*/recipe.yaml")):
        raise ValueError(f"{folder} holds run folders and is not one itself: cl.runs({str(folder)!r}) lists them")
    return Run(folder, trust=trust)


def runs(out: StrPath = "runs") -> DataFrame:
    """A DataFrame with a row for each run of a folder: its state, the settings that vary, and its measurements.

    Columns are such as `posttrain.lr` and `posttrain.greedy_accuracy` (report/frame.py).
    """
    from chainlift.report import frame
    from chainlift.runs.progress import Watcher
    from chainlift.runs.stage_views import SHARED

    progress = [run for run in Watcher(Path(out)).poll() if not run.run_id.startswith(SHARED)]
    return frame.of_runs(sorted(progress, key=lambda run: run.run_id), Path(out))


def recipe(source: Source, *overrides: str, seed: int | None = None, trust: bool = False) -> Recipe:
    """Build a recipe from a shipped name, a YAML file, keys and values or another recipe, with dotted overrides.

    trust: import the code that a file, or an opened run's recipe, names. ValueError in one line names the wrong key.
    """
    from chainlift.stages import recipe as recipes

    if isinstance(source, str | os.PathLike):
        return recipes.load(source, list(overrides), seed=seed, trust=trust)
    code_trust = source.trust_with(overrides, trust=trust) if isinstance(source, StoredRecipe) else None
    built = recipes.build(dict(source), code_trust) if isinstance(source, Mapping) else source
    changes = [*overrides, *([] if seed is None else [f"seed={seed}"])]
    return recipes.override(built, changes)


def sweep(
    source: Source,
    axes: Mapping[str, Iterable[object]],
    *overrides: str,
    seeds: Iterable[int] = (0,),
    zipped: bool = False,
    out: StrPath = "runs",
    launcher: str = "local",
    workers: int | None = None,
    threads: int | None = None,
    retry: bool = True,
    quiet: bool = False,
    trust: bool = False,
    **cluster: Any,
) -> DataFrame:
    """Run a recipe over a grid and return a DataFrame of its runs, as `runs` does; finished runs are not run again.

    axes: {dotted key: values}, in every combination, or with `zipped` varied together. workers: the most runs at once;
    default: one per core. cluster: address, cpus, gpus, partition, minutes, memory_gb of the launchers ray and slurm.
    Only this process knows the pieces that decorators have registered, so runs that use one go one after the other in
    this process. RunsFailed, in one line, if some failed.
    """
    from chainlift.report import frame
    from chainlift.report.terminal.reporter import Reporter
    from chainlift.runs.progress import Watcher
    from chainlift.stages import pipeline
    from chainlift.stages.failures import RunsFailed
    from chainlift.sweep import axes as grids
    from chainlift.sweep import grid
    from chainlift.sweep.launchers import Options

    frame.need_pandas()
    reporter, out = Reporter(quiet=quiet), Path(out)
    text_axes = [(key, [_as_text(value) for value in values]) for key, values in axes.items()]
    recipes = grids.combine(
        text_axes,
        list(seeds),
        lambda changes, seed: recipe(source, *overrides, *changes, seed=seed, trust=trust),
        zipped=zipped,
    )
    options = Options(launcher, workers, threads, **cluster)
    with _ctrl_c():
        if any(REGISTERED & set(texts(built.model_dump())) for built in recipes):
            for built in recipes:
                pipeline.run(built, out, reporter, wait=True)
        elif unfinished := grid.run_all(recipes, out, reporter, options, retry=retry):
            raise RunsFailed(grid.unfinished_line(unfinished, len(recipes), out))
    progress = {run.run_id: run for run in Watcher(out).poll()}
    return frame.of_runs((progress[built.run_id] for built in recipes), out)


def theory(
    p_cot: float = 0.25,
    *,
    d: int = 50,
    modulus: int = 2,
    temperature: float = 1.0,
    chain_accuracy: float = 1.0,
    reward: str = "end_to_end",
    marker: bool = False,
    algorithm: str = "grpo",
    **reference: Any,
) -> dict[str, Any]:
    """Predict the results for a share p_cot of long demonstrations without training (docs/theory.md).

    reference: group_size, prompts, updates and step of `algorithm`'s reference curve (theory/forecast.py).
    """
    from chainlift.learning.presets import preset
    from chainlift.theory.forecast import forecast
    from chainlift.theory.mode_policy import Setting

    setting = Setting(modulus, d, marker, chain_accuracy, reward, temperature)
    return forecast(setting, p_cot, algorithm=preset(algorithm), name=algorithm, **reference)


def _as_text(value: object) -> str:
    """A value as it follows `key=` on the command line: text unchanged, anything else as YAML."""
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Turn Interrupted, raised once a run has kept its checkpoint, into KeyboardInterrupt."""
    from chainlift.stages.failures import Interrupted

    try:
        yield
    except Interrupted:
        raise KeyboardInterrupt("stopped; the same call goes on from the last checkpoint") from None
