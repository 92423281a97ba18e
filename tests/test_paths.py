"""Whoever takes a path in Python takes it as a text, too."""

import os
from pathlib import Path

import pytest

from chainlift.interop import export
from chainlift.models.hub import model_folder
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs.store import RunFolder
from chainlift.stages import inspect, pipeline, recipe


def test_paths_may_be_texts(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = os.path.relpath(finished)
    newest = inspect.newest(run)
    assert newest == inspect.newest(Path(run))
    model, task = model_folder.load(str(newest))
    os.mkdir("saved")
    model_folder.save(model, task, "saved")
    assert model_folder.load("saved")[1].settings == task.settings
    assert inspect.evaluate("saved", 8, temperature=1.0, seed=0)["greedy"]["accuracy"] >= 0
    assert len(inspect.sample("saved", None, greedy=False, count=2, temperature=1.0, seed=0)) == 2
    export.export(run, "exported")
    assert Path("exported/README.md").is_file()
    assert RunFolder(run).recipe()["name"] == "small"
    found = recipe.load(finished.parent.parent / "small.yaml")
    assert found == recipe.load(str(finished.parent.parent / "small.yaml"))
    out = os.path.relpath(finished.parent)
    result = pipeline.run(found, out, Reporter(quiet=True))
    assert result.folder.resolve() == finished.resolve()
