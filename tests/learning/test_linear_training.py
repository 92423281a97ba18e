"""What SGD makes of the linear model: the minimizer that theory names, at both degrees, and nothing at p = 0."""

import math

import pytest
import torch

from chainlift.learning import averaging, next_token
from chainlift.learning.optimizer import apply_gradients, make_optimizer
from chainlift.measure import exact
from chainlift.measure.evaluate import answer
from chainlift.models import families
from chainlift.models.linear import LinearModel, LinearSettings
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.tasks import mixture
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings
from chainlift.theory import closed_forms, linear_model

STEPS = 2500
SETTINGS = NextTokenPrediction(
    steps=STEPS,
    optimizer="sgd",
    lr=3.0,
    warmup=0,
    schedule="linear",
    stable_fraction=0.5,
    weight_decay=0.0,
    max_grad_norm=100.0,
    loss_weighting="sequence_sum",
    average_tail=0.2,
)
D = 6


def train(p_cot: float, *, degree: int = 2, modulus: int = 2, d: int = D) -> tuple[LinearModel, RunningSum]:
    """Stage 1's updates without its records."""
    task = RunningSum(RunningSumSettings(d=d, modulus=modulus))
    model = families.build(LinearSettings(family="linear", stop_degree=degree), task)
    assert isinstance(model, LinearModel)
    optimizer = make_optimizer(model, SETTINGS)
    before = averaging.first_averaged(STEPS, SETTINGS.average_tail) - 1
    for step in range(STEPS):
        batch = mixture.draw(task, MixtureSettings(p_cot=p_cot), 256, seed=0, name="pretrain", step=step)
        next_token.loss(model, batch, SETTINGS.loss_weighting)[0].backward()
        apply_gradients(model, optimizer, SETTINGS, step, STEPS)
        averaging.accumulate(model, optimizer, step + 1 - before)
    averaging.settle(model, optimizer, STEPS - before)
    return model, task


def go_on(model: LinearModel, task: RunningSum, *, agree: bool) -> torch.Tensor:
    """P(go on | x, y_1) for every prompt, with y_1 = x_1 or not (bits)."""
    prompts = exact.every_prompt(task)
    stop = exact.transitions(model, prompts)[:, 1, :, -1].exp()
    y_1 = prompts[:, 0] if agree else 1 - prompts[:, 0]
    return 1 - stop.gather(1, y_1[:, None])[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("p_cot", [0.25, 0.4])
def test_degree_2_reaches_the_population_optimum(p_cot: float) -> None:
    """Errors of the averaged weights are near .005 (a second-moment bound); the tolerances are four times that."""
    model, task = train(p_cot)
    first = model.first[0].tolist()
    assert first[0] == pytest.approx(linear_model.first_token_weight(p_cot), abs=0.02)
    assert first[1:] == pytest.approx([0.0] * (D - 1), abs=0.02)
    continued = go_on(model, task, agree=True)
    assert float(continued.mean()) == pytest.approx(2 * p_cot / (1 + p_cot), abs=0.01)
    assert float((continued / (1 - continued)).log().mean()) == pytest.approx(
        linear_model.go_on_log_odds(p_cot, 2), abs=0.04
    )
    assert float(go_on(model, task, agree=False).mean()) < 0.01
    found = exact.expectations(model, task, exact.every_prompt(task))
    assert float(found.long.mean()) == pytest.approx(p_cot, abs=0.01)
    assert float(found.accuracy.mean()) == pytest.approx((1 + p_cot) / 2, abs=0.01)
    greedy = answer(model, task, exact.every_prompt(task)).verdict
    expected = closed_forms.greedy(p_cot, 2) == "long"
    assert bool(greedy.long.all()) == expected
    assert bool(greedy.long.any()) == expected
    assert float(greedy.answer_correct.float().mean()) == pytest.approx(
        closed_forms.greedy_accuracy(p_cot, 2), abs=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(("p_cot", "length"), [(0.4, 1), (0.6, D)])
def test_degree_1_moves_the_threshold_to_one_half(p_cot: float, length: int) -> None:
    model, task = train(p_cot, degree=1)
    assert float(go_on(model, task, agree=True).mean()) == pytest.approx(p_cot, abs=0.01)
    assert float(go_on(model, task, agree=False).mean()) == pytest.approx(p_cot, abs=0.01)
    greedy = answer(model, task, exact.every_prompt(task)).verdict
    predicted = linear_model.degree_1_predictions(D, 2, p_cot)
    assert greedy.length.unique().tolist() == [length] == [predicted["greedy_length_median"]]
    found = exact.expectations(model, task, exact.every_prompt(task))
    assert float(found.accuracy.mean()) == pytest.approx(predicted["sampled_accuracy"], abs=0.01)
    assert float(found.long.mean()) == pytest.approx(predicted["sampled_long_share"], abs=0.01)


@pytest.mark.slow
@pytest.mark.smoke
def test_without_long_demonstrations_nothing_is_learned() -> None:
    model, task = train(0.0)
    found = exact.expectations(model, task, exact.every_prompt(task))
    assert float(found.accuracy.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(found.long.mean()) < 0.01
    assert model.first.abs().max() < 0.02
    assert not model.steps.any()  # no gradient has ever reached a step


@pytest.mark.slow
def test_three_symbols_have_their_threshold_at_a_quarter() -> None:
    """p = .3 is below parity's 1/3 and above 1/4."""
    model, task = train(0.3, modulus=3, d=4)
    greedy = answer(model, task, exact.every_prompt(task)).verdict
    assert bool(greedy.long.all())
    assert bool(greedy.answer_correct.all())
    assert float(exact.expectations(model, task, exact.every_prompt(task)).long.mean()) == pytest.approx(0.3, abs=0.015)


def test_the_sequence_sum_is_the_token_mean_in_another_unit() -> None:
    task = RunningSum(RunningSumSettings(d=D))
    model = families.build(LinearSettings(family="linear"), task)
    batch = mixture.draw(task, MixtureSettings(p_cot=0.3), 64, seed=0, name="pretrain", step=0)
    tokens = sum(part.responses.numel() for part in batch.parts)
    mean, total = (float(next_token.loss(model, batch, kind)[0].detach()) for kind in ("token_mean", "sequence_sum"))
    assert total == pytest.approx(mean * tokens / 64)
    # Zero weights: ln 2 for the first token and the decision, and for each further digit of a long demonstration.
    num_long = len(batch.long.prompts)
    assert total == pytest.approx(math.log(2) * (2 + (D - 1) * num_long / 64), rel=1e-6)
