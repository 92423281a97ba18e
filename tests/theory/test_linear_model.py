"""Closed forms of the linear model against sums over all outcomes and against the loss's own gradient."""

import itertools
import math

import numpy as np
import pytest

from chainlift.theory import closed_forms, linear_model, star


@pytest.mark.parametrize("p", [0.05, 0.25, 0.6])
def test_log_odds_are_those_of_the_probabilities(p: float) -> None:
    first, go_on = (1 + p) / 2, 2 * p / (1 + p)
    assert linear_model.first_token_weight(p) == pytest.approx(math.log(first / (1 - first)))
    assert linear_model.go_on_log_odds(p, 2) == pytest.approx(math.log(go_on / (1 - go_on)))
    three = closed_forms.go_on_probability(p, 3)
    assert linear_model.go_on_log_odds(p, 3) == pytest.approx(math.log(three / (1 - three)))


def outcomes(p: float, modulus: int, d: int) -> list[tuple[float, tuple[int, ...], int, bool]]:
    """(probability, x, y_1, long) of every demonstration."""
    found = []
    for x in itertools.product(range(modulus), repeat=d):
        weight = modulus**-d
        found += [(p * weight, x, x[0], True), ((1 - p) * weight, x, sum(x) % modulus, False)]
    return found


@pytest.mark.parametrize("modulus", [2, 3])
def test_at_degree_1_a_constant_decision_has_no_gradient(modulus: int) -> None:
    """The logistic loss's gradient on every degree-1 feature is zero at the log-odds of p, and not on x_1 y_1."""
    p, d = 0.3, 4
    linear, product = np.zeros((d + 1) * modulus), 0.0
    for probability, x, y_1, long in outcomes(p, modulus, d):
        residual = probability * (p - long)
        linear += residual * np.eye(modulus)[[*x, y_1]].ravel()
        product += residual * (x[0] == y_1)
    np.testing.assert_allclose(linear, 0, atol=1e-12)
    assert product < -0.05


@pytest.mark.parametrize("modulus", [2, 3])
def test_degree_1_accuracy_by_enumeration(modulus: int) -> None:
    p, d = 0.3, 3
    agree = p + (1 - p) / modulus
    right = kept_long = kept_agree = 0.0
    for x in itertools.product(range(modulus), repeat=d):
        for y_1 in range(modulus):
            first = modulus**-d * (agree if y_1 == x[0] else (1 - agree) / (modulus - 1))
            chain_end = (y_1 + sum(x[1:])) % modulus
            short, long = first * (1 - p) * (y_1 == sum(x) % modulus), first * p * (chain_end == sum(x) % modulus)
            right, kept_long = right + short + long, kept_long + long
            kept_agree += (short + long) * (y_1 == x[0])
    predicted = linear_model.degree_1_predictions(d, modulus, p)
    assert predicted["sampled_accuracy"] == pytest.approx(right)
    assert predicted["star_next_share"] == pytest.approx(kept_long / right)
    assert linear_model.degree_1_star(p, agree, modulus)[1] == pytest.approx(kept_agree / right)


def test_degree_1_flips_at_one_half_for_every_modulus() -> None:
    for modulus in (2, 3, 7):
        assert linear_model.degree_1_predictions(5, modulus, 0.49)["greedy"] == "short"
        assert linear_model.degree_1_predictions(5, modulus, 0.51)["greedy_accuracy"] == 1.0


def test_degree_1_needs_rounds_like_one_over_the_root_of_p() -> None:
    rounds = [linear_model.degree_1_star_rounds_to_flip(10.0**-k, 2) for k in (2, 4, 6)]
    assert all(later is not None and earlier is not None for earlier, later in itertools.pairwise(rounds))
    ratios = [later / earlier for earlier, later in itertools.pairwise(r for r in rounds if r)]
    assert all(9 < ratio < 11 for ratio in ratios)
    assert star.star_rounds_to_flip(1e-4, 2) == 13  # degree 2: a logarithm
    assert linear_model.degree_1_star_rounds_to_flip(0.0, 2) is None
    assert linear_model.degree_1_star_rounds_to_flip(0.6, 2) == 0


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1])
def test_infinite_weights_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match="p_cot"):
        linear_model.first_token_weight(p)
