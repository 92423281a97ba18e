"""KL by position against sums over the whole vocabulary, and where it must be zero."""

import numpy as np
import pytest
import torch

from chainlift.measure.divergence import kl_by_position
from chainlift.models import families
from chainlift.models.model import Model
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.seeding import stream
from chainlift.tasks import registry
from chainlift.tasks.base import Task
from chainlift.tasks.running_sum import RunningSumSettings


@pytest.fixture
def task() -> Task:
    return registry.build(RunningSumSettings(d=4))


def model(task: Task, seed: int) -> Model:
    return families.build(ModelSettings(layers=1, width=16, heads=2), task).initialize(stream(seed, "model"))


def test_a_model_does_not_differ_from_itself(task: Task) -> None:
    one = model(task, 0)
    kl, reached = kl_by_position(one, one, task, task.prompts(64, stream(0, "p")), stream(0, "s"))
    assert kl.shape == reached.shape == (5,)
    assert np.abs(kl).max() < 1e-6
    assert reached[0] == 64
    assert (np.diff(reached) <= 0).all()


def test_the_first_position_is_the_mean_over_prompts(task: Task) -> None:
    policy, base, prompts = model(task, 0), model(task, 1), task.prompts(512, stream(0, "p"))
    kl, _ = kl_by_position(policy, base, task, prompts, stream(0, "s"))
    with torch.no_grad():
        logits = (one.logits(one.prefill(prompts[:, :-1]), prompts[:, -1:])[:, 0] for one in (policy, base))
        p, q = (one.double().softmax(-1) for one in logits)
    by_hand = float((p * (p / q).log()).sum()) / 512
    assert kl[0] == pytest.approx(by_hand, rel=1e-4)
    assert kl[0] > 1e-3
