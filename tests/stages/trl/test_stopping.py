"""Ctrl-C on a language model's run: it ends within a batch or while it waits, and goes on to the same rows."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chainlift.measure import text as measuring
from chainlift.models.pretrained import generation
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs import lock
from chainlift.runs.store import RunFolder
from chainlift.stages import pipeline
from chainlift.stages.failures import Interrupted
from tests.stages.trl.small_text import all_right, run, shared_by, small

STAR = ("posttrain.algorithm=star", "posttrain.steps_per_round=2")


@pytest.mark.parametrize("shared", [False, True])
def test_waiting_for_another_process_ends_when_asked(
    shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        assert len(waits) < 5, "Ctrl-C is not heard while waiting"
        signal.raise_signal(signal.SIGINT) if len(waits) == 2 else None

    recipe = small()
    held, digest = tmp_path / recipe.run_id, recipe.digest
    if shared:
        held, digest = shared_by(recipe, tmp_path).path, recipe.stage_digest("pretrain")
    folder = RunFolder.open(held, recipe.model_dump(mode="json"), digest)
    monkeypatch.setattr(lock, "time", SimpleNamespace(sleep=sleep))
    with folder.lock(wait=False), pytest.raises(Interrupted):
        pipeline.run(recipe, tmp_path, Reporter(quiet=True), wait=True)
    assert len(waits) == 2
    with RunFolder(tmp_path / recipe.run_id).lock(wait=False):
        pass  # it was given back


class Asked:
    """Sets the stop of a run in its n-th batch that is generated under a name, and counts steps from there."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, at: int) -> None:
        self.steps_after, self.now = 0, ""
        real, batches = generation._generate, [0]
        respond = generation.respond

        def watched(*given: Any, name: str = "", **more: Any) -> Any:
            self.now = name
            return respond(*given, name=name, **more)

        def generate(model: Any, tokenizer: Any, batch: Any, max_tokens: int, temperature: Any, check: Any) -> Any:
            batches[0] += name in self.now
            is_it = name in self.now and batches[0] == at
            steps = [0]

            def counted() -> None:
                steps[0] += 1
                if is_it and steps[0] == 3:
                    signal.raise_signal(signal.SIGINT)
                if is_it and steps[0] > 3:
                    self.steps_after += 1
                check()

            return real(model, tokenizer, batch, max_tokens, temperature, counted)

        patch.setattr(generation, "_generate", generate)
        patch.setattr(measuring, "respond", watched)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "at", "more"),
    [
        ("llm/posttrain/samples", 2, STAR),  # in the sampling of the second round
        ("llm/posttrain/evaluate", 3, ()),  # in the measurement between two updates
    ],
)
def test_a_run_that_is_stopped_within_a_batch_goes_on_to_the_same_rows(
    where: str, at: int, more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ("pretrain.steps=2", "posttrain.checkpoint_every=100", *more)
    if more:
        all_right(monkeypatch)
    calm, _ = run(tmp_path / "calm", *chosen)
    with monkeypatch.context() as patch:
        asked = Asked(patch, where, at)
        with pytest.raises(Interrupted):
            run(tmp_path / "stopped", *chosen)
        assert asked.steps_after == 0
    stopped, _ = run(tmp_path / "stopped", *chosen)
    assert stopped.rows() == calm.rows()
    assert stopped.rows("rollouts.jsonl") == calm.rows("rollouts.jsonl")


@pytest.mark.slow
def test_stopping_between_two_updates_keeps_the_updates_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ("pretrain.checkpoint_every=100", "posttrain=null")
    with monkeypatch.context() as patch:
        Asked(patch, "llm/pretrain/evaluate", 3)  # at step 3, greedy; two batches at step 0
        with pytest.raises(Interrupted):
            run(tmp_path, *chosen)
    folder = RunFolder(tmp_path / small(*chosen).run_id)
    assert [path.name for path in folder.checkpoints.iterdir()] == ["pretrain-3"]
