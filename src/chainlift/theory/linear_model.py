"""The least loss of the linear model, and its behavior there if the stop decision has features of degree 1.

With degree-2 features the model can represent the blind learner of closed_forms.py, so those formulas hold. With degree
1 the decision cannot depend on whether y_1 = x_1; everything here follows from that.
"""

from __future__ import annotations

import math
from typing import Any

from chainlift.theory import closed_forms, forecast

DEGREE_1_THRESHOLD = 0.5
"""Degree-1 greedy goes on iff the constant probability p of going on is above 1/2, whatever K."""


def first_token_weight(p: float) -> float:
    """Weight of x_1 (as +1, -1) in the log-odds of y_1, K = 2: log((1 + p) / (1 - p)), as P(y_1 = x_1) = (1 + p) / 2.

    The weights of all other digits are 0: they do not help, and the minimum of a convex loss with independent features
    is unique.
    """
    _check_open_interval(p)
    return math.log1p(p) - math.log1p(-p)


def go_on_log_odds(p: float, modulus: int) -> float:
    """Log-odds of going on after y_1 = x_1, log(Kp / (1 - p)); after any other y_1 they tend to minus infinity.

    So the loss has no minimum: with f = x_1 y_1 (+1 or -1, K = 2) and the decision u = b + c f, b + c tends to this
    value and b - c to minus infinity, like -log(steps) under SGD.
    """
    _check_open_interval(p)
    return math.log(modulus) + closed_forms.log_odds(p)


def degree_1_predictions(d: int, modulus: int, p: float) -> dict[str, Any]:
    """The keys of forecast.predictions, for a linear model whose stop decision has degree-1 features.

    The decision is a log-odds b + g(x) + h(y_1). The form is independent of every single digit x_j and of y_1 alone:
    all are uniform within long and within short demonstrations. So at the minimum of the convex loss g and h are 0, and
    P(go on) = p after every y_1. Greedy: y_1 = x_1, then long iff p > 1/2, and right then. Sampled: long with
    probability p (calibrated), but only a share a = p + (1 - p) / K of chains has y_1 = x_1. A chain that starts with
    an error keeps it to the end, so the accuracy is (1 - p) / K + p a, below the closed forms' (1 - p) / K + p.
    """
    long, agree = p > DEGREE_1_THRESHOLD, closed_forms.first_token_probability(p, modulus)
    return forecast.predictions(d, modulus, p) | {
        "threshold": DEGREE_1_THRESHOLD,
        "greedy": "long" if long else "short",
        "greedy_accuracy": 1.0 if long else 1 / modulus,
        "greedy_length_median": d if long else 1,
        "sampled_accuracy": p * agree + (1 - p) / modulus,
        "sampled_long_share": p,
        "go_on": p,
        "star_next_share": degree_1_star(p, agree, modulus)[0],
        "star_rounds_to_flip": degree_1_star_rounds_to_flip(p, modulus),
    }


def degree_1_star(p: float, agree: float, modulus: int) -> tuple[float, float]:
    """(p', a') after a round of STaR: the probability of going on, and that of y_1 = x_1 (`agree` before the round).

    STaR keeps the right responses: long ones with y_1 = x_1, p a; short ones, (1 - p) / K, of which a share a has
    y_1 = x_1.
    """
    kept = p * agree + (1 - p) / modulus
    return p * agree / kept, agree * (p + (1 - p) / modulus) / kept


def degree_1_star_rounds_to_flip(p: float, modulus: int) -> int | None:
    """Rounds of STaR after next-token prediction until p > 1/2; None at p = 0.

    At small p a chain is hardly likelier to be right than a guess: with a = (1 + e) / K, a round multiplies p by about
    1 + e, not by K, and adds about (K - 1) p to e. So log p has a second difference of order p. This takes O(p^(-1/2))
    rounds; the degree-2 decision needs O(log(1 / p)).
    """
    agree, rounds = closed_forms.first_token_probability(p, modulus), 0
    while 0 < p <= DEGREE_1_THRESHOLD:
        p, agree = degree_1_star(p, agree, modulus)
        rounds += 1
    return rounds if p > 0 else None


def _check_open_interval(p: float) -> None:
    """Raise ValueError unless 0 < p < 1."""
    if not 0 < p < 1:
        raise ValueError(f"p_cot is {p}; allowed: above 0 and below 1 (else the weight is infinite)")
