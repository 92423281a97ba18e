"""The verbs of the Python door; each does what the command of its name does, by the same code.

PyTorch, pandas and figures are imported by those that need them. What is wrong with an argument is a ValueError of one
line.
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
    """The finished run of a recipe under the folder `out`; what was done before is not done again.

    overrides: `key=value`, as on the command line. fresh: train all of its stages again. page: write report.html at the
    end. trust: import the code that a recipe's file names. Ctrl-C is a KeyboardInterrupt after the current step; the
    same call goes on from there.
    """
    chosen = recipe(source, *overrides, seed=seed, trust=trust)
    from chainlift.report.pages import last_page
    from chainlift.report.terminal.reporter import Reporter
    from chainlift.stages import pipeline

    reporter, out = Reporter(quiet=quiet), Path(out)
    with _ctrl_c():
        pipeline.run(chosen, out, reporter, fresh=fresh, page=last_page.written if page else None)
    return Run(out / chosen.run_id, trust=True)  # the code that it names has just been run


def open(folder: StrPath, *, trust: bool = False) -> Run:
    """The run in a folder, finished or not; ValueError if it is none."""
    folder = Path(folder)
    if not folder.is_dir():
        near = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ValueError(f"{folder} is no folder{suggest(folder.name, near)}")
    if not (folder / "recipe.yaml").is_file() and any(folder.glob("*/recipe.yaml")):
        raise ValueError(f"{folder} holds run folders and is none itself: cl.runs({str(folder)!r}) lists them")
    return Run(folder, trust=trust)


def runs(out: StrPath = "runs") -> DataFrame:
    """A row a run of a folder: its state, the settings in which the runs differ, and what was measured.

    Columns are such as `posttrain.lr` and `posttrain.greedy_accuracy` (report/frame.py).
    """
    from chainlift.report import frame
    from chainlift.runs.course import SHARED
    from chainlift.runs.progress import Watcher

    found = [one for one in Watcher(Path(out)).poll() if not one.run_id.startswith(SHARED)]
    return frame.of_runs(sorted(found, key=lambda one: one.run_id), Path(out))


def recipe(source: Source, *overrides: str, seed: int | None = None, trust: bool = False) -> Recipe:
    """The recipe of a shipped name, a YAML file, keys and values or another recipe, with dotted overrides.

    ValueError in one line names the key that is wrong. trust: import the code that a file, or an opened run's recipe,
    names.
    """
    from chainlift.stages import recipe as recipes

    if isinstance(source, str | os.PathLike):
        return recipes.load(source, list(overrides), seed=seed, trust=trust)
    said = source.said(overrides, trust=trust) if isinstance(source, StoredRecipe) else None
    built = recipes.build(dict(source), said) if isinstance(source, Mapping) else source
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
    """The finished runs of a grid, a row a run as `runs` gives them; what is done is not run again.

    axes: {dotted key: its values}, every combination, or with `zipped` side by side. workers: runs at once; default:
    one a core. cluster: address, cpus, gpus, partition, minutes, memory_gb of the launchers ray and slurm. Pieces that
    decorators have registered are known to this process only: runs that use one go one after the other, in it.
    RunsFailed says in one line if some failed.
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
    written = [(key, [_as_text(value) for value in values]) for key, values in axes.items()]
    chosen = grids.combined(
        written,
        list(seeds),
        lambda changes, seed: recipe(source, *overrides, *changes, seed=seed, trust=trust),
        zipped=zipped,
    )
    options = Options(launcher, workers, threads, **cluster)
    with _ctrl_c():
        if any(REGISTERED & set(texts(one.model_dump())) for one in chosen):
            for one in chosen:
                pipeline.run(one, out, reporter, wait=True)
        elif failed := grid.run_all(chosen, out, reporter, options, retry=retry):
            raise RunsFailed(grid.complaint(failed, len(chosen), out))
    found = {one.run_id: one for one in Watcher(out).poll()}
    return frame.of_runs((found[one.run_id] for one in chosen), out)


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
    """What should come out for a share p_cot of long demonstrations, before anything is trained (docs/theory.md).

    reference: group_size, prompts, updates and step of the reference curve of `algorithm` (theory/forecast.py).
    """
    from chainlift.learning.presets import preset
    from chainlift.theory.forecast import forecast
    from chainlift.theory.mode_policy import Setting

    setting = Setting(modulus, d, marker, chain_accuracy, reward, temperature)
    return forecast(setting, p_cot, algorithm=preset(algorithm), name=algorithm, **reference)


def _as_text(value: object) -> str:
    """A value as it is typed behind `key=`: text as it stands, everything else as YAML."""
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C as Python has it, once a run has kept its checkpoint."""
    from chainlift.stages.failures import Interrupted

    try:
        yield
    except Interrupted:
        raise KeyboardInterrupt("stopped; the same call goes on from the last checkpoint") from None
