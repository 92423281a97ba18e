"""Each preset against a case computed by hand: one short and one long sequence, off policy."""

from math import exp, log

import pytest
import torch

from chainlift.learning import objective
from chainlift.learning.presets import PRESETS, Aggregate, Objective

# Two sequences of 1 and 3 sampled tokens; the ratios pi / old are 1.5 and 0.5, 1.1, 1.3.
LOGP = torch.tensor([[log(0.6), 0.0, 0.0], [log(0.2), log(0.55), log(0.39)]], requires_grad=True)
OLD = torch.tensor([[log(0.4), 0.0, 0.0], [log(0.4), log(0.5), log(0.3)]])
MASK = torch.tensor([[True, False, False], [True, True, True]])
NUM_ACTIONS, MAX_LENGTH = torch.tensor([1, 3]), 5
UP, DOWN = torch.tensor([1.0, -2.0]), torch.tensor([-1.0, 2.0])
L = [log(0.6), log(0.2), log(0.55), log(0.39)]
PRODUCT = 0.5 * 1.1 * 1.3
MEAN = exp(log(PRODUCT) / 3)

# (preset, loss for advantages (1, -2), loss for (-1, 2), clipped tokens for each)
CASES = [
    ("star", -(L[0] * 1 + 0) / 1, -(2 * (L[1] + L[2] + L[3])) / 3, (0, 0)),  # the row with A <= 0 is not counted
    ("reinforce", -(L[0] - 2 * (L[1] + L[2] + L[3])) / 2, -(-L[0] + 2 * (L[1] + L[2] + L[3])) / 2, (0, 0)),
    # A = 1: min(1.5, 1.2); A = -2: max side is not clipped, 0.715 is below 0.8: min(-1.43, -1.6)
    ("rloo", -(1.2 - 2 * 0.8) / 2, -(-1.5 + 2 * PRODUCT) / 2, (4, 0)),
    ("grpo", -(1.2 - 2 * (0.8 + 1.1 + 1.3) / 3) / 2, -(-1.5 + 2 * (0.5 + 1.1 + 1.2) / 3) / 2, (2, 1)),
    ("dr_grpo", -(1.2 - 2 * (0.8 + 1.1 + 1.3)) / 10, -(-1.5 + 2 * (0.5 + 1.1 + 1.2)) / 10, (2, 1)),
    ("dapo", -(1.28 - 2 * (0.8 + 1.1 + 1.3)) / 4, -(-1.5 + 2 * (0.5 + 1.1 + 1.28)) / 4, (2, 1)),
    ("gspo", -(1.0004 - 2 * 0.9997) / 2, -(-1.5 + 2 * MEAN) / 2, (4, 0)),
    (
        "cispo",
        -(1.5 * L[0] - 2 * (0.5 * L[1] + 1.1 * L[2] + 1.3 * L[3])) / 4,
        -(-1.5 * L[0] + 2 * (0.5 * L[1] + 1.1 * L[2] + 1.3 * L[3])) / 4,
        (0, 0),
    ),
    ("gpg", -(L[0] - 2 * (L[1] + L[2] + L[3])) / 4, -(-L[0] + 2 * (L[1] + L[2] + L[3])) / 4, (0, 0)),
]


@pytest.mark.parametrize(("name", "up", "down", "clipped"), CASES, ids=[case[0] for case in CASES])
def test_hand_computed(name: str, up: float, down: float, clipped: tuple[int, int]) -> None:
    preset = PRESETS[name]
    for advantages, expected, count in ((UP, up, clipped[0]), (DOWN, down, clipped[1])):
        counted = advantages > 0 if preset.advantage == "accept" else None
        weights = objective.sequence_weights(NUM_ACTIONS, preset.aggregate, max_length=MAX_LENGTH, counted=counted)
        loss, num_clipped = objective.loss(LOGP, OLD, advantages, MASK, weights, preset)
        assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
        assert int(num_clipped) == count


def test_every_preset_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(PRESETS)


def test_cispo_cuts_the_weight_but_keeps_the_gradient() -> None:
    preset = PRESETS["cispo"].model_copy(update={"clip_high": 1.2})
    logp = LOGP.detach().clone().requires_grad_()
    weights = objective.sequence_weights(NUM_ACTIONS, "token_mean", max_length=MAX_LENGTH)
    loss, clipped = objective.loss(logp, OLD, UP, MASK, weights, preset)
    loss.backward()
    assert logp.grad is not None
    expected = -torch.tensor([[1.2, 0, 0], [-2 * 0.5, -2 * 1.1, -2 * 1.2]]) / 4
    torch.testing.assert_close(logp.grad, expected, atol=1e-6, rtol=1e-5)
    assert int(clipped) == 2


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("sequence_sum", [1 / 2, 1 / 2]),
        ("sequence_mean", [1 / 2, 1 / 6]),
        ("token_mean", [1 / 4, 1 / 4]),
        ("max_length", [1 / 10, 1 / 10]),
    ],
)
def test_weights_by_hand(aggregate: Aggregate, expected: list[float]) -> None:
    found = objective.sequence_weights(NUM_ACTIONS, aggregate, max_length=MAX_LENGTH)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_rows_that_are_not_counted_are_in_no_mean() -> None:
    three = torch.tensor([1, 3, 7])
    for aggregate in ("sequence_sum", "sequence_mean", "token_mean", "max_length"):
        some = objective.sequence_weights(
            three, aggregate, max_length=MAX_LENGTH, counted=torch.tensor([True, True, False])
        )
        two = objective.sequence_weights(three[:2], aggregate, max_length=MAX_LENGTH)
        assert torch.equal(some, torch.cat([two, torch.zeros(1)]))


def test_decisions_weigh_alike_whatever_the_length() -> None:
    """A response of one token and one of three: the first two tokens weigh 1/4 of two sequences, the third 1/6."""
    weights = objective.sequence_weights(NUM_ACTIONS, "sequence_mean", max_length=MAX_LENGTH)
    decisions = 0.25 * objective.sequence_weights(NUM_ACTIONS, "sequence_sum", max_length=MAX_LENGTH)
    tokens = objective.token_weights(weights, decisions, 3)
    torch.testing.assert_close(tokens, torch.tensor([[1 / 8, 1 / 8, 1 / 2], [1 / 8, 1 / 8, 1 / 6]]))
    found, _ = objective.loss(LOGP, OLD, UP, MASK, tokens, PRESETS["gpg"])
    expected = -(L[0] / 8 - 2 * (L[1] / 8 + L[2] / 8 + L[3] / 6))
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["rloo", "gspo"])
def test_ratios_of_whole_responses_refuse_a_weight_of_decisions(name: str) -> None:
    with pytest.raises(ValueError, match="set ratio to token or none"):
        Objective.model_validate(PRESETS[name].model_dump() | {"decision_weight": 0.5})


def test_nothing_kept_gives_zero_and_no_nan() -> None:
    weights = objective.sequence_weights(
        NUM_ACTIONS, "token_mean", max_length=MAX_LENGTH, counted=torch.zeros(2, dtype=torch.bool)
    )
    assert weights.tolist() == [0, 0]


def test_kl_is_zero_at_the_start_and_positive_elsewhere() -> None:
    weights = objective.sequence_weights(NUM_ACTIONS, "token_mean", max_length=MAX_LENGTH)
    assert float(objective.kl_to_start(OLD, OLD, OLD, MASK, weights)) == 0
    # k3 with ratios start / pi of 2/3, 2, 10/11, 10/13
    ratios = (2 / 3, 2, 10 / 11, 10 / 13)
    k3 = [r - log(r) - 1 for r in ratios]
    logp = LOGP.detach()
    on_policy = float(objective.kl_to_start(LOGP, logp, OLD, MASK, weights).detach())
    assert on_policy == pytest.approx(sum(k3) / 4, rel=1e-5)
    # Off policy each token counts by its ratio pi / old of 1.5, .5, 1.1, 1.3.
    off_policy = float(objective.kl_to_start(LOGP, OLD, OLD, MASK, weights).detach())
    expected = sum(k / r for k, r in zip(k3, ratios, strict=True)) / 4
    assert off_policy == pytest.approx(expected, rel=1e-5)
