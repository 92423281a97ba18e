"""A kind of stage of one's own, named as `module:Class`, through a whole run from the command line."""

import json
from pathlib import Path

import pytest

from chainlift.runs.store import read_rows
from tests.conftest import SMALL
from tests.in_process import Ended, command

PIECES = '''
from pydantic import Field

from chainlift.learning.optimizer import apply_gradients, make_optimizer
from chainlift.learning.next_token import accumulate_gradient
from chainlift.stages.stage import Place, Stage
from chainlift.learning.optimizer import OptimizerSettings
from chainlift.tasks import mixture


class Rehearse(OptimizerSettings, Stage):
    """Next-token prediction without an evaluation on the way."""

    kind: str = "my_rehearsal:Rehearse"
    title: str = "rehearsal"
    steps: int = Field(default=3, ge=1)

    @property
    def total_steps(self):
        return self.steps

    def train(self, context, place: Place):
        model = context.new_model()
        context.load_start(place, model)
        optimizer = make_optimizer(model, self)
        state = context.begin(place, model, optimizer)
        if state.finished:
            return
        while state.step < self.steps:
            seed, step = context.recipe.seed, state.step
            batch = mixture.draw(context.task, place.mixture, 8, seed=seed, name=place.name, step=step)
            metrics = accumulate_gradient(model, batch, "token_mean")
            moved = apply_gradients(model, optimizer, self, state.step, self.steps)
            state.step += 1
            state.sequences += 8
            context.record(state, "update", metrics | moved)
        context.evaluate(state, model, final=True, show=True)
        state.finished = True
        context.keep(place, state, model, optimizer, 0.0)
'''


@pytest.fixture(autouse=True)
def _pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rehearsal.py").write_text(PIECES, encoding="utf-8")
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def run(*changes: str) -> Ended:
    few = ("pretrain.steps=4", "posttrain.steps=1", "continued_pretrain=null")
    return command("run", "small.yaml", *few, *changes, "--out", "runs", "--json")


def test_a_kind_of_ones_own_goes_through_a_run_and_its_page() -> None:
    code, out, err = run("stages.rehearse={kind: 'my_rehearsal:Rehearse', steps: 2}")
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["rehearse"]["steps"] == 2
    assert summary["stages"]["rehearse"] == {
        "title": "rehearsal", "unit": "sequences", "start": "posttrain", "start_step": None, "baseline_of": None,
    }  # fmt: skip
    folder = Path("runs") / summary["run_id"]
    assert [row["step"] for row in read_rows(folder / "metrics.jsonl") if row["stage"] == "rehearse"] == [1, 2, 2]
    assert "rehearsal" in (folder / "report.html").read_text(encoding="utf-8")
    assert (folder / "checkpoints" / "rehearse-2").is_dir()
    again = run("stages.rehearse={kind: 'my_rehearsal:Rehearse', steps: 2}", "evaluate.prompts=33")
    assert again[0] == 0, again[2]
    assert "rehearsal: taken from" in again[2]
    assert json.loads(again[1].splitlines()[-1])["rehearse"]["prompts"] == 33


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("stages.extra={kind: 'my_rehearsal:Rehearsal'}", "cannot be imported"),
        ("stages.extra={kind: 'my_rehearsal:Place'}", "is not a valid kind of stage: it must be a subclass of Stage"),
        ("stages.extra={kind: 'my_rehearsal:Stage'}", "is not a valid kind of stage: it must be a subclass of Stage"),
        ("stages.extra={kind: 'my_rehearsal:Rehearse', stepps: 3}", "extra.stepps: unknown key, did you mean 'steps'"),
    ],
)
def test_what_is_no_kind_is_refused_in_one_line(change: str, told: str) -> None:
    code, _, err = run(change)
    assert code == 2
    assert told in err
    assert len(err.splitlines()) == 1


def test_code_that_only_a_file_names_is_not_imported() -> None:
    text = SMALL.replace("kind: ntp, steps: 40", "kind: 'my_rehearsal:Rehearse', steps: 2")
    Path("small.yaml").write_text(text.replace(", batch_size: 16", ""), encoding="utf-8")
    code, _, err = run()
    assert code == 2
    assert "add --trust" in err
