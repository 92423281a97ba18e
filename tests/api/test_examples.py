"""The files in examples/: short, and they do what they say."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

import chainlift as cl
from tests.api.conftest import SMALL

FOLDER = Path(__file__).parents[2] / "examples"
LONGEST = {"minimal": 100}
TINY = [change for change in SMALL if not change.startswith("task.d")]

pytestmark = pytest.mark.usefixtures("own_pieces")


def example(name: str) -> Any:
    """An example's `main`."""
    return runpy.run_path(str(FOLDER / f"{name}.py"))["main"]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_an_example_is_short_and_says_how_to_run_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) < LONGEST.get(file.stem, 80)
    assert f"python examples/{file.name}" in text


@pytest.mark.slow
@pytest.mark.smoke
def test_minimal_shows_the_lift_without_a_run_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = example("minimal")()
    assert before < 0.65
    assert after > 0.9
    assert list(here.iterdir()) == []
    told = capsys.readouterr().out.splitlines()
    assert "length 1;" in told[0]
    assert "length 8;" in told[1]


def test_minimal_is_decided_by_its_seed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main, told = example("minimal"), []
    for seed in (0, 0, 1):
        main(steps=2, updates=1, seed=seed)
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] != told[2]


def test_own_task(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = example("own_task")(*TINY)
    assert run.recipe["task"] == {"name": "inner_product", "n": 6}
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("pretrain   greedy accuracy")
    assert all(line.endswith(("right", "wrong")) for line in told[2:4])
    assert len(told) == 4


def test_the_gold_responses_of_the_own_task_are_right_by_hand() -> None:
    cell = runpy.run_path(str(FOLDER / "own_task.py"))["InnerProduct"]
    task = cell(cell.Settings(name="inner_product", n=3))
    prompts = task.vocabulary.encode("110111")[None]  # 1*1 + 0*1 + 1*1
    assert task.vocabulary.strings(task.gold(prompts, long=True)[0]) == ["1", "1", "0", "<eos>"]
    assert task.vocabulary.strings(task.gold(prompts, long=False)[0]) == ["0", "<eos>"]
    rows = task.prompts(20_000, torch.Generator().manual_seed(0))
    zeros = float((task.gold(rows, long=False)[:, 0] == 0).float().mean())
    assert abs(zeros - task.chance) < 0.02  # over five standard errors


def test_rl_begins_with_every_kept_checkpoint_of_one_training(here: Path) -> None:
    table = example("rl_from_every_checkpoint")(*SMALL, "pretrain.steps=4", every=2)
    assert table["start"].tolist() == ["pretrain@2", "pretrain@4"]
    assert len(list((here / "runs" / "stages").glob("pretrain-*"))) == 1
    assert len(list((here / "runs" / "stages").glob("posttrain-*"))) == 2
    starts = [cl.open(path).recipe["stages"] for path in (here / "runs").glob("tiny-*")]
    found = {stages["posttrain"]["start"] for stages in starts if "posttrain" in stages}
    assert found == {"pretrain@2", "pretrain@4"}


def test_mixed_loss_records_its_next_token_loss(here: Path) -> None:
    table = example("mixed_loss")(*SMALL, weights=(0, 0.5))
    assert table["ntp_weight"].tolist() == [0, 0.5]
    assert table["next-token loss"].isna().tolist() == [True, False]
    assert 0 < table["next-token loss"][1] < 2


def test_two_runs_are_compared_in_a_table_and_a_figure(here: Path) -> None:
    table = example("compare_two_runs")(*SMALL)
    assert table["posttrain.algorithm"].tolist() == ["dr_grpo", "star"]
    assert (here / "runs" / "compare.png").stat().st_size > 5000
