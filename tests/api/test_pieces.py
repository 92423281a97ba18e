"""Pieces registered by decorators, as in a notebook cell: found by their name, used in runs and sweeps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import pad

import chainlift as cl
from chainlift.learning.presets import ALGORITHMS
from chainlift.learning.reward import REWARDS
from chainlift.models.families import FAMILIES
from chainlift.models.transformer.transformer import Transformer
from chainlift.stages import kind_registry
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.tasks.base import EOS, Vocabulary
from chainlift.tasks.exact_match import compare
from chainlift.tasks.registry import TASKS
from tests.api.conftest import SMALL

pytestmark = pytest.mark.usefixtures("own_pieces")
SHORT = [*SMALL, "continued_pretrain=null"]


class LastBit:
    """The short answer is the last bit; the long one repeats the prompt."""

    class Settings(cl.Settings):
        name: str
        d: int = 4

    def __init__(self, settings: Any) -> None:
        self.settings, self.chance = settings, 0.5
        self.vocabulary = Vocabulary(("0", "1", EOS))
        self.prompt_length = self.long_length = settings.d
        self.short_length = 1

    def prompts(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(2, (n, self.prompt_length), generator=generator)

    def gold(self, prompts: torch.Tensor, *, long: bool) -> torch.Tensor:
        return pad(prompts if long else prompts[:, -1:], (0, 1), value=self.vocabulary.eos)

    def verify(self, prompts: torch.Tensor, responses: torch.Tensor) -> Any:
        return compare(self, prompts, responses)


def brief(verdict: Any) -> torch.Tensor:
    return verdict.answer_correct.float() * (1 - 0.25 * verdict.long.float())


def mine() -> cl.Objective:
    return cl.Objective(advantage="leave_one_out", ratio="none", clip="none", aggregate="sequence_mean")


def test_a_piece_is_known_by_its_own_name_or_by_one_given() -> None:
    assert cl.task(LastBit) is LastBit
    assert cl.task("other")(LastBit) is LastBit
    assert cl.reward(brief) is brief
    assert cl.reward("short_first")(brief) is brief
    assert cl.algorithm(mine) is mine
    assert TASKS.find("last_bit").build is TASKS.find("other").build is LastBit
    assert REWARDS.find("brief") is REWARDS.find("short_first") is brief
    assert ALGORITHMS.find("mine") == mine()


def test_families_and_stages_are_registered_too() -> None:
    @cl.family
    class WideMixer(Transformer):
        pass

    @cl.stage("rehearse")
    class Rehearsal(NextTokenPrediction):
        kind: str = "rehearse"

        def train(self, context: Any, place: Any) -> None:
            super().train(context, place)

    assert FAMILIES.find("wide_mixer") is WideMixer
    assert kind_registry.find("rehearse") is Rehearsal


def test_a_cell_that_is_run_again_replaces_the_piece() -> None:
    cl.reward("brief")(brief)

    @cl.reward("brief")
    def other(verdict: Any) -> torch.Tensor:
        return verdict.answer_correct.float()

    assert REWARDS.find("brief") is other


@pytest.mark.parametrize(
    ("decorate", "message"),
    [
        (lambda: cl.reward("chain")(brief), "reward 'chain' is shipped with chainlift; choose another name"),
        (
            lambda: cl.stage("ntp")(NextTokenPrediction),
            "kind of stage 'ntp' is shipped with chainlift; choose another name",
        ),
        (lambda: cl.reward("my:brief")(brief), "is not a valid name of a reward: a name is not empty and has no colon"),
        (lambda: cl.reward(LastBit), "'last_bit' is not a valid reward: it must be a function"),
        (lambda: cl.task(brief), "'brief' is not a valid task: it must be a class"),
        (lambda: cl.algorithm(dict), "'dict' is not a valid algorithm"),
        (lambda: cl.stage(LastBit), "'last_bit' is not a valid kind of stage"),
    ],
)
def test_what_is_no_such_piece_is_refused_in_one_line(decorate: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        decorate()
    assert len(str(caught.value).splitlines()) == 1


def test_pieces_go_through_a_run(tmp_path: Path) -> None:
    cl.task(LastBit)
    cl.reward(brief)
    cl.algorithm(mine)
    changes = ["task={name: last_bit, d: 4}", "posttrain.reward=brief", "posttrain.algorithm=mine"]
    run = cl.run("tiny", *SHORT, *changes, out=tmp_path, quiet=True, page=False)
    assert run.summary["posttrain"]["algorithm"] == "mine"
    assert run.recipe["stages"]["posttrain"]["reward"] == "brief"
    assert run.sample("0110", greedy=True)[0]["gold"][-1] == "0"
    rows = run.metrics("update", "posttrain")
    assert max(rows["reward_mean"] - rows["accuracy"]) <= 0


def test_a_sweep_with_such_a_piece_runs_in_this_process(tmp_path: Path) -> None:
    calls = []

    @cl.reward
    def counted(verdict: Any) -> torch.Tensor:
        calls.append(1)
        return verdict.answer_correct.float()

    axes = {"posttrain.reward": ["counted", "chain"]}
    table = cl.sweep("tiny", axes, *SHORT, "posttrain.steps=1", out=tmp_path, quiet=True)
    assert table["state"].tolist() == ["done", "done"]
    assert table["posttrain.reward"].tolist() == ["counted", "chain"]
    assert calls


def test_a_sweep_takes_values_of_every_type(tmp_path: Path) -> None:
    cl.reward(brief)  # so that nothing is run in other processes
    table = cl.sweep(
        "tiny",
        {"posttrain.reward": ["brief"], "posttrain.clip_low": [None, 0.1], "posttrain.lr": [1e-5, 2e-5]},
        *SHORT,
        "posttrain.steps=1",
        zipped=True,
        out=tmp_path,
        quiet=True,
    )
    assert table["posttrain.lr"].tolist() == [1e-5, 2e-5]
    assert table["posttrain.clip_low"].isna().tolist() == [True, False]
