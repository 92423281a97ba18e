"""One run as an object: the contents of its folder, and the use of its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainlift.reading import StrPath
from chainlift.references import Trust
from chainlift.runs import stage_views
from chainlift.runs.store import RunFolder
from chainlift.settings import suggest

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class StoredRecipe(dict[str, Any]):
    """Keys and values of a run folder's recipe; code that they name is imported only if the user trusts the folder."""

    def __init__(self, content: dict[str, Any], file: Path, *, trust: bool) -> None:
        super().__init__(content)
        self.file, self.trust = file, trust

    def trust_with(self, overrides: Sequence[str] = (), *, trust: bool = False) -> Trust:
        """The trust in references of the recipe, given the overrides that the user adds."""
        return Trust.of(self.file, overrides, self.trust or trust)


class Run:
    """A run folder, finished or not; its files are read at each access."""

    def __init__(self, folder: StrPath, *, trust: bool = False) -> None:
        """Open a folder; trust: import the code (module:name) that its recipe and checkpoints name."""
        self.folder, self.trust = Path(folder), trust
        self._files = RunFolder(self.folder)
        self._stages = [stage.name for stage in stage_views.of_recipe(self._files.recipe())]

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {'done' if self.is_done else 'not finished'}>"

    @property
    def is_done(self) -> bool:
        """Whether the run is finished."""
        return self._files.done

    @property
    def recipe(self) -> StoredRecipe:
        """Keys and values of the recipe; `cl.run(run.recipe, "posttrain.lr=1e-3")` runs a variant."""
        return StoredRecipe(self._files.recipe(), self.folder / "recipe.yaml", trust=self.trust)

    @property
    def summary(self) -> dict[str, Any]:
        """Measurements at the end of each stage, beside the theory: summary.json; ValueError if not finished."""
        if not self.is_done:
            raise ValueError(f"{self.folder} is not finished, so it has no summary; the same cl.run goes on with it")
        return self._files.summary()

    def metrics(self, kind: str = "evaluation", stage: str | None = None) -> DataFrame:
        """Rows of metrics.jsonl as a DataFrame.

        kind: `evaluation`, `update` or `preflight`. stage: a stage's name; None: all stages. Columns are flat, such as
        `greedy_accuracy` and `greedy_accuracy_ci95_low` (report/frame.py).
        """
        from chainlift.report import frame

        rows = self._files.rows()
        _check_known("kind", kind, sorted({row["kind"] for row in rows}))
        if stage is not None:
            _check_known("stage", stage, self._stages)
        return frame.of_rows(row for row in rows if row["kind"] == kind and stage in (None, row["stage"]))

    @property
    def checkpoints(self) -> list[str]:
        """Names `stage@step` of the kept checkpoints, in the order of the run."""
        return list(self._checkpoints())

    def model(self, at: str | None = None) -> Any:
        """The model of a checkpoint on the best device: a Model, or a LanguageModel for a task of text.

        at: `stage@step`, or `stage` for its last one; None: the last one of the run, without baselines.
        """
        from chainlift.stages import inspect

        return inspect.model_of(self._checkpoint(at), trust=self.trust)

    @property
    def task(self) -> Any:
        """The task of the run: a Task, or a TextTask."""
        from chainlift.stages import recipe as recipes
        from chainlift.tasks import registry

        stored = self.recipe
        return registry.make(recipes.build(dict(stored), stored.trust_with()).task)

    def sample(
        self,
        prompt: str | None = None,
        *,
        at: str | None = None,
        greedy: bool = False,
        count: int = 4,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> list[dict[str, Any]]:
        """Responses of a checkpoint to a prompt in text, or to a random one: tokens, probabilities, verdict."""
        from chainlift.stages import inspect

        target = self._checkpoint(at)
        return inspect.sample(
            target, prompt, greedy=greedy, count=count, temperature=temperature, seed=seed, trust=self.trust
        )

    def evaluate(
        self,
        *changes: str,
        at: str | None = None,
        prompts: int | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Measure a checkpoint's {greedy, sampled, ...} responses on fresh prompts.

        changes: `key=value` of the task, such as `d=60` for longer prompts. prompts: their number; None: 4096, or as
        many as a language model's recipe measures.
        """
        from chainlift.stages import inspect

        target = self._checkpoint(at)
        return inspect.evaluate(
            target, prompts, temperature=temperature, seed=seed, changes=list(changes), trust=self.trust
        )

    def figure(self) -> Figure:
        """A matplotlib figure of accuracy, length and long share over the stages, beside the theory."""
        from chainlift.report import record
        from chainlift.report.figures import run_pictures, static

        return static.draw(run_pictures.lift(record.read(self.folder)))

    def page(self) -> Path:
        """Write report.html, an offline page of the run, and return its path."""
        from chainlift.report.pages import run_page

        return run_page.write(self.folder)

    def _checkpoints(self) -> dict[str, Path]:
        """{`stage@step`: folder} of the kept checkpoints."""
        from chainlift.runs import checkpoint

        return {
            f"{stage}@{step}": folder
            for stage in self._stages
            for step, folder in checkpoint.steps(self._files.checkpoints, stage).items()
        }

    def _checkpoint(self, at: str | None) -> Path:
        """The folder of a checkpoint; ValueError lists the known names."""
        from chainlift.stages import inspect

        if at is None:
            return inspect.newest(self.folder)
        folders = self._checkpoints()
        last_of_stage = {name.partition("@")[0]: name for name in folders}
        name = last_of_stage.get(at, at)
        _check_known("checkpoint", name, [*folders, *last_of_stage], listed=list(folders))
        return folders[name]


def _check_known(noun: str, name: str, known: Sequence[str], listed: Sequence[str] | None = None) -> None:
    """ValueError for an unknown name, which suggests the nearest known one and lists `listed`, by default all."""
    if name not in known:
        names = ", ".join(known if listed is None else listed) or "none"
        raise ValueError(f"{noun} {name!r} is not there{suggest(name, known)}; there are: {names}")
