"""One run as an object: what its folder holds, and what can be done with its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainlift.reading import StrPath
from chainlift.references import Trust
from chainlift.runs import course
from chainlift.runs.store import RunFolder
from chainlift.settings import suggest

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class StoredRecipe(dict[str, Any]):
    """Keys and values of a run folder's recipe: code that they name is the folder's word, until the user trusts it."""

    def __init__(self, content: dict[str, Any], file: Path, *, trust: bool) -> None:
        super().__init__(content)
        self.file, self.trust = file, trust

    def said(self, overrides: Sequence[str] = (), *, trust: bool = False) -> Trust:
        """What the user says of its references, with overrides beside it."""
        return Trust.of(self.file, overrides, self.trust or trust)


class Run:
    """A run folder, finished or not; its files are read at each access."""

    def __init__(self, folder: StrPath, *, trust: bool = False) -> None:
        """trust: import the code (module:name) that the folder's recipe and checkpoints name."""
        self.folder, self.trust = Path(folder), trust
        self._files = RunFolder(self.folder)
        self._stages = [stage.name for stage in course.of_recipe(self._files.recipe())]

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {'done' if self.is_done else 'not finished'}>"

    @property
    def is_done(self) -> bool:
        """Whether the run has come to its end."""
        return self._files.done

    @property
    def recipe(self) -> StoredRecipe:
        """Keys and values of the recipe; `cl.run(run.recipe, "posttrain.lr=1e-3")` runs a changed one."""
        return StoredRecipe(self._files.recipe(), self.folder / "recipe.yaml", trust=self.trust)

    @property
    def summary(self) -> dict[str, Any]:
        """What was measured at the end of each stage, beside the theory: summary.json."""
        if not self.is_done:
            raise ValueError(f"{self.folder} is not finished, so it has no summary; the same cl.run goes on with it")
        return self._files.summary()

    def metrics(self, kind: str = "evaluation", stage: str | None = None) -> DataFrame:
        """The rows of metrics.jsonl of one kind, `evaluation`, `update` or `preflight`, of a stage or of all.

        Columns are flat, such as `greedy_accuracy` and `greedy_accuracy_ci95_low` (report/frame.py).
        """
        from chainlift.report import frame

        rows = self._files.rows()
        _check("kind", kind, sorted({row["kind"] for row in rows}))
        if stage is not None:
            _check("stage", stage, self._stages)
        return frame.of_rows(row for row in rows if row["kind"] == kind and stage in (None, row["stage"]))

    @property
    def checkpoints(self) -> list[str]:
        """The checkpoints that are kept, as `stage@step`, in the order of the run."""
        return list(self._checkpoints())

    def model(self, at: str | None = None) -> Any:
        """The model of a checkpoint on the best device: a Model or, of a task of text, a LanguageModel.

        at: `stage@step`, or `stage` for its last one; None: the last one of the run, baselines left aside.
        """
        from chainlift.stages import inspect

        return inspect.model_of(self._checkpoint(at), trust=self.trust)

    @property
    def task(self) -> Any:
        """What the run learns: a Task, or a TextTask."""
        from chainlift.stages import recipe as recipes
        from chainlift.tasks import registry

        stored = self.recipe
        return registry.make(recipes.build(dict(stored), stored.said()).task)

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
        """Responses of a checkpoint to a prompt in text, or to one that is drawn: tokens, probabilities, verdict."""
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
        """{greedy, sampled, ...} of a checkpoint on prompts that no run has drawn for this.

        changes: `key=value` of the task, such as `d=60` for longer prompts. prompts: None: 4096, of a language model as
        many as its recipe measures.
        """
        from chainlift.stages import inspect

        target = self._checkpoint(at)
        return inspect.evaluate(
            target, prompts, temperature=temperature, seed=seed, changes=list(changes), trust=self.trust
        )

    def figure(self) -> Figure:
        """Accuracy, length and share of long responses over the stages, beside the theory, as matplotlib draws it."""
        from chainlift.report import record
        from chainlift.report.figures import run_pictures, static

        return static.draw(run_pictures.lift(record.read(self.folder)))

    def page(self) -> Path:
        """report.html, one offline page of the run, written anew."""
        from chainlift.report.pages import run_page

        return run_page.write(self.folder)

    def _checkpoints(self) -> dict[str, Path]:
        from chainlift.runs import checkpoint

        return {
            f"{stage}@{step}": folder
            for stage in self._stages
            for step, folder in checkpoint.steps(self._files.checkpoints, stage).items()
        }

    def _checkpoint(self, at: str | None) -> Path:
        """The folder of a checkpoint; ValueError with the known names if there is none of that name."""
        from chainlift.stages import inspect

        if at is None:
            return inspect.newest(self.folder)
        there = self._checkpoints()
        last = {name.partition("@")[0]: name for name in there}
        name = last.get(at, at)
        _check("checkpoint", name, [*there, *last], shown=list(there))
        return there[name]


def _check(what: str, name: str, known: Sequence[str], shown: Sequence[str] | None = None) -> None:
    """ValueError that suggests the nearest known name, and lists those `shown`, for a name that is not known."""
    if name not in known:
        listed = ", ".join(known if shown is None else shown) or "none"
        raise ValueError(f"{what} {name!r} is not there{suggest(name, known)}; there are: {listed}")
