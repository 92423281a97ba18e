import math

import torch

from chainlift.tasks import mixture
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings

TASK = RunningSum(RunningSumSettings(d=6))


def draw(p_cot: float, n: int = 256, step: int = 0, seed: int = 0) -> mixture.MixtureBatch:
    return mixture.draw(TASK, MixtureSettings(p_cot=p_cot), n, seed=seed, name="test", step=step)


def test_parts_are_gold_and_complete() -> None:
    batch = draw(0.25)
    assert len(batch.short.prompts) + len(batch.long.prompts) == 256
    for part, long in ((batch.short, False), (batch.long, True)):
        assert torch.equal(part.responses, TASK.gold(part.prompts, long=long))
    assert batch.num_tokens == 256 * 6 + 2 * len(batch.short.prompts) + 7 * len(batch.long.prompts)


def test_extremes_have_one_part() -> None:
    assert [part.responses.shape[1] for part in draw(0.0).parts] == [2]
    assert [part.responses.shape[1] for part in draw(1.0).parts] == [7]


def test_the_split_is_binomial() -> None:
    """Mean and variance of the count over 400 batches; each bound is at 5 standard errors, so false alarm < 2e-6."""
    counts = torch.tensor([len(draw(0.25, n=64, step=step).long.prompts) for step in range(400)], dtype=torch.float64)
    mean, variance = 64 * 0.25, 64 * 0.25 * 0.75
    assert abs(float(counts.mean()) - mean) < 5 * math.sqrt(variance / 400)
    assert abs(float(counts.var()) - variance) < 5 * variance * math.sqrt(2 / 399) * 1.1


def test_steps_and_seeds_give_fresh_batches() -> None:
    same = torch.equal(draw(0.25).short.prompts, draw(0.25).short.prompts)
    assert same
    assert not torch.equal(draw(1.0).long.prompts, draw(1.0, step=1).long.prompts)
    assert not torch.equal(draw(1.0).long.prompts, draw(1.0, seed=1).long.prompts)


def test_noise_comes_from_a_stream_of_its_own() -> None:
    """The prompts, and which of them are long, do not change with the noise; the demonstrations of a step do not
    change from call to call.
    """
    noisy = RunningSum(RunningSumSettings(d=6, noise=0.5))
    batches = [
        mixture.draw(task, MixtureSettings(p_cot=0.5), 64, seed=0, name="test", step=3) for task in (TASK, noisy, noisy)
    ]
    plain, first, again = batches
    assert torch.equal(plain.long.prompts, first.long.prompts)
    assert torch.equal(plain.short.responses, first.short.responses)
    assert not torch.equal(plain.long.responses, first.long.responses)
    assert torch.equal(first.long.responses, again.long.responses)


def test_a_schedule_by_hand() -> None:
    settings = MixtureSettings(p_cot=[[0, 0.5], [0.25, 0.1], [0.75, 1.0]])
    assert [settings.at(share) for share in (0.0, 0.24, 0.25, 0.74, 0.75, 1.0)] == [0.5, 0.5, 0.1, 0.1, 1.0, 1.0]
    assert (settings.last, settings.largest) == (1.0, 1.0)
    assert math.isclose(settings.mean, 0.25 * 0.5 + 0.5 * 0.1 + 0.25 * 1.0)
    assert MixtureSettings(p_cot=0.3).at(0.5) == MixtureSettings(p_cot=0.3).mean == 0.3
