"""Several processes learn what one would: real processes, on this machine, over gloo."""

import subprocess
from pathlib import Path

import pytest
import torch

from chainlift import distributed
from chainlift.learning import next_token
from chainlift.learning.next_token import LossWeighting
from chainlift.models import families
from chainlift.seeding import stream
from chainlift.stages import recipe as recipes
from chainlift.tasks import mixture
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import Demonstrations
from chainlift.tasks.mixture import MixtureBatch
from tests.stages.launching import ENVIRONMENT, SHORT, TORCHRUN, WORKER, assert_equal, rows
from tests.stages.together import run_all

LEARNERS = {
    "star": "posttrain.algorithm=star|posttrain.restart=true",
    "plain reinforce": "posttrain.algorithm=reinforce|posttrain.advantage=none",
    "reinforce": "posttrain.algorithm=reinforce",
    "rloo": "posttrain.algorithm=rloo",
    "grpo off policy": "posttrain.steps_per_round=3|posttrain.minibatches=2|posttrain.kl=0.05",
    "dr_grpo": "posttrain.algorithm=dr_grpo",
    "dapo": "posttrain.algorithm=dapo|posttrain.dynamic_sampling=true",
    "gspo": "posttrain.algorithm=gspo",
    "cispo": "posttrain.algorithm=cispo|posttrain.steps_per_round=2",
    "ppo": "stages.posttrain={kind: ppo, prompts: 9, steps: 6, minibatches: 2}",
    "dpo": "stages.posttrain={kind: dpo, prompts: 5, group_size: 4, steps: 6, steps_per_round: 2}",
    "sequence mean": "pretrain.loss_weighting=sequence_mean|pretrain.average_tail=0.5",
    "sequence sum": "pretrain.loss_weighting=sequence_sum|model.family=mistral|posttrain.aggregate=token_mean",
    "muon": "pretrain.optimizer=muon|posttrain.optimizer=muon|pretrain.average_tail=0.5",
    "linear": "model={family: linear}|pretrain.optimizer=sgd|pretrain.max_row_norm=0.5|pretrain.average_tail=0.5",
}
UNEVEN = {
    "shares of many sizes": "pretrain.batch_size=5|posttrain.prompts=4|evaluate.during=7|evaluate.prompts=1031",
    "empty shares": "pretrain.batch_size=1|posttrain.prompts=2|evaluate.during=1|evaluate.prompts=2|posttrain.kl=0.1",
    "a form that is missing": "mixture.p_cot=0|pretrain.batch_size=2|posttrain.algorithm=star|posttrain.prompts=1",
}


def together(count: int, recipe: Path, out: Path, variants: list[str], *, shard: bool = False) -> None:
    """Run variants of a recipe on `count` processes."""
    how = "shard" if shard else "plain"
    done = subprocess.run(
        [*TORCHRUN, str(count), WORKER, recipe, out, how, *variants],
        capture_output=True,
        text=True,
        timeout=110,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 3, 7, 8])
def test_shares_are_parts_as_even_as_can_be(count: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: count)
    found = []
    for rank in range(count):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        found.append(list(range(n))[distributed.shard(n)])
    assert found == [part.tolist() for part in torch.arange(n).tensor_split(count)]


@pytest.mark.parametrize("weighting", ["token_mean", "sequence_mean", "sequence_sum"])
def test_losses_of_shares_add_up_to_the_loss(weighting: LossWeighting, recipe: Path) -> None:
    one = recipes.load(str(recipe))
    task = tasks.build(one.task)
    model = families.build(one.model, task).initialize(stream(0, "model"))
    whole = mixture.draw(task, one.mixture, 16, seed=0, name="test", step=0)
    assert len(whole.long.prompts) not in (0, 16)

    def cut(part: Demonstrations, rows: slice) -> Demonstrations:
        return Demonstrations(part.prompts[rows], part.responses[rows], part.mask[rows])

    cuts = [slice(0, 2), slice(2, 2), slice(2, None)]  # the second share is empty
    shares = [MixtureBatch(short=cut(whole.short, rows), long=cut(whole.long, rows)) for rows in cuts]
    expected, of_whole = next_token.loss(model, whole, weighting)
    parts = [next_token.loss(model, share, weighting, whole) for share in shares]
    assert sum(loss.item() for loss, _ in parts) == pytest.approx(expected.item(), rel=1e-6)
    for name, value in of_whole.items():
        assert sum(metrics[name] or 0.0 for _, metrics in parts) == pytest.approx(value, rel=1e-6)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(recipe: Path, tmp_path: Path) -> None:
    variants = [f"{SHORT}|{variant}" for variant in LEARNERS.values()]
    run_all(recipe, tmp_path / "one", variants)
    together(2, recipe, tmp_path / "two", variants)
    for number in range(len(variants)):
        assert_equal(rows(tmp_path / "one" / str(number)), rows(tmp_path / "two" / str(number)))


@pytest.mark.slow
@pytest.mark.smoke
def test_shares_may_be_uneven_and_empty(recipe: Path, tmp_path: Path) -> None:
    variants = [f"{SHORT}|{variant}" for variant in UNEVEN.values()]
    run_all(recipe, tmp_path / "one", variants)
    together(3, recipe, tmp_path / "three", variants)
    for number in range(len(variants)):
        assert_equal(rows(tmp_path / "one" / str(number)), rows(tmp_path / "three" / str(number)))


@pytest.mark.slow
def test_divided_weights_change_nothing(recipe: Path, tmp_path: Path) -> None:
    chosen = ("star", "grpo off policy", "sequence mean", "muon", "linear")
    variants = [f"{SHORT}|{LEARNERS[name]}" for name in chosen] + [f"{SHORT}|{UNEVEN['empty shares']}"]
    run_all(recipe, tmp_path / "one", variants)
    together(2, recipe, tmp_path / "two", variants, shard=True)
    for number in range(len(variants)):
        assert_equal(rows(tmp_path / "one" / str(number)), rows(tmp_path / "two" / str(number)))
