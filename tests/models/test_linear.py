"""The linear model against its definition, read whole or token by token, and as a folder."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from chainlift.learning.likelihood import log_probs
from chainlift.models import families
from chainlift.models.hub import model_folder
from chainlift.models.linear import LinearModel, LinearSettings
from chainlift.models.protocol import split_prompts
from chainlift.seeding import stream
from chainlift.tasks import registry
from chainlift.tasks.permutation import PermutationSettings
from chainlift.tasks.prefix_chain import PrefixChainSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings


def make(modulus: int = 2, degree: int = 2, d: int = 5) -> tuple[LinearModel, RunningSum]:
    task = RunningSum(RunningSumSettings(d=d, modulus=modulus))
    model = families.build(LinearSettings(family="linear", stop_degree=degree), task)
    assert isinstance(model, LinearModel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=stream(0, "noise"))
    return model, task


def signs(tokens: Tensor) -> Tensor:
    return 1.0 - 2.0 * tokens


@pytest.mark.parametrize("degree", [1, 2])
def test_bits_by_the_definition(degree: int) -> None:
    """-log p of both forms is the sum of the predictors' logistic losses, each written out with its own features."""
    model, task = make(degree=degree)
    d, prompts = task.prompt_length, task.prompts(20, stream(0, "prompts"))
    x = signs(prompts)
    for long in (True, False):
        responses = task.gold(prompts, long=long)
        y = signs(responses)
        loss = torch.nn.functional.softplus(-y[:, 0] * (x @ model.first[0]))
        u = model.stop[0, -1] + x @ model.stop[0, :-1] + y[:, 0] * model.stop[1, -1]
        if degree == 2:
            u = u + (y[:, :1] * x) @ model.stop[1, :-1]
        loss = loss + torch.nn.functional.softplus(-u if long else u)
        for position in range(1, d if long else 1):
            z = y[:, position - 1] * (x @ model.steps[position - 1])
            loss = loss + torch.nn.functional.softplus(-y[:, position] * z)
        prefix, last = split_prompts(prompts)
        found = -log_probs(model, model.prefill(prefix), last, responses).sum(dim=1)
        torch.testing.assert_close(found, loss, atol=1e-5, rtol=1e-5)


def test_sums_modulo_3_by_the_definition() -> None:
    """A step is the table W[l, y_{l-1}, y_l] . onehot(x), whatever the shape it is stored in."""
    model, task = make(modulus=3, d=4)
    prompts = task.prompts(9, stream(0, "prompts"))
    prefix, last = split_prompts(prompts)
    responses = task.gold(prompts, long=True)
    found = log_probs(model, model.prefill(prefix), last, responses)
    x = torch.nn.functional.one_hot(prompts, 3).float().flatten(1)
    table = model.steps.view(3, 3, 3, 12)  # position, previous digit, next digit, features
    rows = torch.arange(9)
    for position in (2, 3):
        scores = (table[position - 1, responses[:, position - 1]] * x[:, None]).sum(dim=2)
        torch.testing.assert_close(found[:, position], scores.log_softmax(1)[rows, responses[:, position]])
    torch.testing.assert_close(found[:, 4], torch.zeros(9), atol=1e-6, rtol=0)


@pytest.mark.parametrize("modulus", [2, 3])
@pytest.mark.parametrize("group_size", [1, 3])
def test_decoding_equals_the_forward_pass_while_rows_leave(modulus: int, group_size: int) -> None:
    model, task = make(modulus)
    prompts = task.prompts(2, stream(0, "prompts"))
    prefix, last = split_prompts(prompts)
    rows = torch.arange(2).repeat_interleave(group_size)
    length = task.long_length + 1
    responses = torch.randint(modulus + 1, (len(rows), length), generator=stream(0, "responses"))  # some ended early
    suffix = torch.cat([last[rows], responses[:, :-1]], dim=1)
    cache = model.prefill(prefix)
    expected = model.logits(cache, suffix, rows)
    decoder, alive = model.decoder(cache, length), torch.arange(len(rows))
    decoder.spread(group_size)
    for t in range(length):
        torch.testing.assert_close(decoder.step(suffix[alive, t]), expected[alive, t], atol=1e-5, rtol=1e-5)
        if t in (0, 3) and len(alive) > 1:
            decoder.keep(torch.arange(1, len(alive)))
            alive = alive[1:]


@pytest.mark.parametrize("modulus", [2, 3])
def test_sharing_a_prefix_leaves_the_gradient_as_it_is(modulus: int) -> None:
    rows, gradients = torch.tensor([1, 0, 1, 1]), []
    for shared in (True, False):
        model, task = make(modulus)
        prefix, last = split_prompts(task.prompts(2, stream(0, "prompts")))
        suffix = torch.cat([last[rows], torch.randint(modulus, (4, 5), generator=stream(0, "suffix"))], dim=1)
        cache = model.prefill(prefix if shared else prefix[rows])
        logits = model.logits(cache, suffix, rows if shared else None)
        logits.clamp(min=-50).square().sum().backward()  # closed logits carry no gradient
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("degree", [1, 2])
def test_the_stop_decision_sees_products_at_degree_2_only(degree: int) -> None:
    """Log-odds of going on, as a function of one digit and y_1: the interaction is zero iff the degree is 1."""
    model, _ = make(degree=degree)
    prompts = torch.zeros(2, 5, dtype=torch.long)
    prompts[1, 0] = 1
    prefix, last = split_prompts(prompts)
    log_odds = []
    for y_1 in (0, 1):
        suffix = torch.cat([last, torch.full((2, 1), y_1)], dim=1)
        stop = model.logits(model.prefill(prefix), suffix)[:, 1].log_softmax(dim=-1)[:, -1]
        log_odds.append(torch.log(torch.expm1(-stop)))
    interaction = (log_odds[0][0] - log_odds[0][1] - log_odds[1][0] + log_odds[1][1]).abs()
    assert (interaction < 1e-5) == (degree == 1)


def test_weights_grow_with_the_square_of_the_digits() -> None:
    model, _ = make(d=1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1000 + 2 * 1001 + 999 * 1000


@pytest.mark.parametrize("modulus", [2, 3])
def test_loading_gives_back_the_same_bits(modulus: int, tmp_path: Path) -> None:
    model, task = make(modulus, degree=1)
    model_folder.save(model, task, tmp_path)
    loaded, same_task = model_folder.load(tmp_path)
    assert (same_task.settings, loaded.settings) == (task.settings, model.settings)
    own = model.state_dict()
    assert set(own) == {"first", "stop", "steps"}
    assert all(torch.equal(value, own[name]) for name, value in loaded.state_dict().items())


def test_it_starts_without_an_opinion() -> None:
    model, task = make()
    model.initialize(stream(0, "model"))
    prefix, last = split_prompts(task.prompts(3, stream(0, "prompts")))
    responses = task.gold(torch.cat([prefix, last], dim=1), long=True)
    found = log_probs(model, model.prefill(prefix), last, responses)
    expected = torch.tensor([0.5, 0.25, 0.5, 0.5, 0.5, 1.0]).log().expand(3, 6)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        RunningSumSettings(d=6, marker="both"),
        RunningSumSettings(d=6, leap=2),
        RunningSumSettings(d=6, noise=0.1),
        RunningSumSettings(d=6, order="right_to_left"),
        PermutationSettings(d=6),
    ],
    ids=str,
)
def test_tasks_that_it_has_no_predictors_for_are_refused(settings: PrefixChainSettings) -> None:
    with pytest.raises(ValueError, match="task running_sum only, with no option set"):
        families.build(LinearSettings(family="linear"), registry.build(settings))
