"""The peers do what ours does: the same loss on the padded batch, as many tokens, and real updates of TRL's."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from chainlift.bench import peers, trl_peer
from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine, draw_batch, draw_prompts
from chainlift.learning import next_token
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry


def test_the_padded_step_has_our_gradient(small: Recipe, folder: Path) -> None:
    engine = Engine(small, folder, Machine())
    batch = draw_batch(small, engine.task, 1)
    told = next_token.accumulate_gradient(engine.model, batch, "token_mean")
    step = peers.TrainingStep(folder, Machine(), engine.task)
    tokens, labels = peers.pad(batch, engine.task)
    loss = step.model(input_ids=tokens, labels=labels).loss
    assert told["loss"] == pytest.approx(loss.item(), rel=1e-5)
    loss.backward()
    own = dict(engine.model.named_parameters())["head.weight"].grad
    assert own is not None
    torch.testing.assert_close(step.model.lm_head.weight.grad, own, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_training_step_changes_the_weights(small: Recipe, folder: Path, dtype: str) -> None:
    step = peers.TrainingStep(folder, Machine("cpu", dtype), registry.build(small.task))
    before = step.model.lm_head.weight.clone()
    batch = draw_batch(small, registry.build(small.task), 1)
    done = step(batch)
    assert not torch.equal(step.model.lm_head.weight, before)
    assert (done.work.sequences, done.work.tokens) == (12, batch.num_tokens)


def test_generate_counts_what_it_samples(small: Recipe, folder: Path) -> None:
    task = registry.build(small.task)
    generate = peers.Generate(peers.load(folder, Machine(), training=False), Machine(), task)
    prompts = draw_prompts(task, 3, 1)
    done = generate(prompts, group_size=2)
    assert done.work.sequences == 6
    assert 6 <= done.work.tokens <= 6 * (task.long_length + 1)
    assert 0 < generate(prompts, greedy=True).work.tokens <= 3 * (task.long_length + 1)


def test_trl_rewards_right_answers_that_have_ended(small: Recipe) -> None:
    """The long gold response is right, cut off before its end it is not, nor with another answer."""
    task = registry.build(small.task)
    prompts = draw_prompts(task, 1, 1)
    gold = task.gold(prompts, long=True)[0].tolist()
    short = task.gold(prompts, long=False)[0].tolist()
    wrong = [1 - short[0], *short[1:]]
    answers = [gold, gold[:-1], short, wrong]
    digits = prompts.tolist() * len(answers)
    assert trl_peer.rewards(task)(completion_ids=answers, digits=digits) == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_trl_performs_an_update(small: Recipe, folder: Path, algorithm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two optimizer steps that sample every prompt as often as asked, call the reward and move the weights."""
    task = registry.build(small.task)
    rows: list[int] = []
    kept: dict[str, Any] = {}
    rewards, load = trl_peer.rewards, peers.load

    def counted(task: Any) -> Any:
        def answer_is_right(completion_ids: list[list[int]], **more: Any) -> list[float]:
            rows.append(len(completion_ids))
            rewards(task)(completion_ids=completion_ids, **more)
            return [float(index % 2) for index in range(len(completion_ids))]  # so that no group is without signal

        return answer_is_right

    def remembered(*arguments: Any, **more: Any) -> Any:
        kept["model"] = load(*arguments, **more)
        kept["before"] = {name: value.clone() for name, value in kept["model"].named_parameters()}
        return kept["model"]

    monkeypatch.setattr(trl_peer, "rewards", counted)
    monkeypatch.setattr(peers, "load", remembered)
    done = trl_peer.update(folder, Machine(), task, draw_prompts(task, 6, 1), group_size=4, algorithm=algorithm)
    assert done.seconds > 0
    assert done.work.sequences == 24
    assert sum(rows) == 48
    moved = [name for name, value in kept["model"].named_parameters() if not torch.equal(value, kept["before"][name])]
    assert moved


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    told = peers.missing()
    assert told is not None
    assert "trl is missing (pip install 'chainlift[bench]')" in told
