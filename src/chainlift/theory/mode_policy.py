"""A policy that consists of its choice of form: two log-odds, and the rewards of its responses.

After next-token prediction a blind learner has two uncertain decisions: whether the first token is x_1 (`first`), and,
after x_1, whether to go on (`go_on`). All later tokens of a chain are certain, so no logit but these two has a
gradient. A response falls into one of three classes:

    class  response                  probability   tokens with EOS   right where the sum is x_1 / elsewhere
    W      a symbol but x_1, stop    1 - f         2                 0 / 1/(K - 1)
    S      x_1, stop                 f (1 - g)     2                 1 / 0
    L      long                      f g           d + 1             r / r    (closed_forms.long_reward)

With a marker the form is chosen before any value: f = 1, each class has one more token, and S is right with 1/K on
every prompt. The description is exact for a blind learner with certain steps; a chain accuracy q < 1 is a parameter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainlift.theory.closed_forms import (
    check,
    first_token_probability,
    go_on_probability,
    log_odds,
    long_reward,
    sigmoid,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """The parameters that stay constant while the policy learns."""

    modulus: int = 2
    d: int = 50
    marker: bool = False
    q: float = 1.0
    """Probability that a long response is right throughout."""
    reward: str = "end_to_end"
    temperature: float = 1.0
    """Temperature of sampling and of scoring."""

    def __post_init__(self) -> None:
        """Raise ValueError in one line for values that are not allowed."""
        check(modulus=self.modulus, d=self.d, temperature=self.temperature)
        long_reward(self.modulus, q=self.q, reward=self.reward)

    @property
    def num_actions(self) -> Array:
        """Numbers of sampled tokens (3,) of a response of each class, EOS included."""
        return np.array([2.0, 2.0, self.d + 1.0]) + self.marker

    @property
    def kinds(self) -> list[tuple[float, Array]]:
        """Pairs (share of prompts, expected reward (3,) of each class) for sum = x_1, and for other sums."""
        K, long = self.modulus, long_reward(self.modulus, q=self.q, reward=self.reward)
        short = 1 / K if self.marker else 1.0
        elsewhere = 1 / K if self.marker else 0.0
        return [(1 / K, np.array([0.0, short, long])), (1 - 1 / K, np.array([1 / (K - 1), elsewhere, long]))]

    @property
    def mean_rewards(self) -> Array:
        """Expected rewards (3,) of the classes over both kinds of prompts: 1/K, 1/K and r."""
        return np.sum([share * reward for share, reward in self.kinds], axis=0)


@dataclass(frozen=True)
class ModePolicy:
    """A policy by its two log-odds at temperature 1; `first` is infinite with a marker."""

    first: float
    """log(P(y_1 = x_1) / P(y_1 != x_1))."""
    go_on: float
    """log(P(going on) / P(stopping)), after y_1 = x_1 or at the marker."""

    @classmethod
    def after_pretraining(cls, p: float, setting: Setting) -> ModePolicy:
        """The minimizer of next-token prediction at p_cot = p (closed_forms)."""
        if setting.marker:
            check(p=p)
            return cls(math.inf, log_odds(p))
        first, go_on = first_token_probability(p, setting.modulus), go_on_probability(p, setting.modulus)
        return cls(log_odds(first), log_odds(go_on))

    def probabilities(self, setting: Setting, temperature: float | None = None) -> tuple[float, float]:
        """Probabilities (f, g) at a temperature, by default the setting's.

        The first token has K logits; x_1's exceeds each other one by first + log(K - 1), which temperature divides.
        """
        t, others = temperature or setting.temperature, math.log(setting.modulus - 1)
        return sigmoid((self.first + others) / t - others), sigmoid(self.go_on / t)

    def classes(self, setting: Setting, temperature: float | None = None) -> Array:
        """Probabilities (3,) of the classes W, S and L."""
        f, g = self.probabilities(setting, temperature)
        return np.array([1 - f, f * (1 - g), f * g])

    def log_probs(self, setting: Setting) -> Array:
        """Log-probabilities (3, 2) of the tokens of the first and of the second decision, in each class."""
        f, g = self.probabilities(setting)
        first = [(1 - f) / (setting.modulus - 1), f, f]
        with np.errstate(divide="ignore"):
            return np.log(np.array([first, [1.0, 1 - g, g]]).T)

    def scores(self, setting: Setting) -> Array:
        """Derivatives (3, 2) of log_probs: the first column by `first`, the second by `go_on`."""
        f, g = self.probabilities(setting)
        return np.array([[-f, 0.0], [1 - f, -g], [1 - f, 1 - g]]) / setting.temperature

    def greedy_long(self, setting: Setting) -> bool:
        """Whether greedy responses are long: x_1 is the likeliest symbol, and going on is likelier than stopping."""
        return self.first + math.log(setting.modulus - 1) > 0 and self.go_on > 0

    def measures(self, setting: Setting) -> dict[str, Any]:
        """Expected {long_share, accuracy, greedy_long, greedy_accuracy} of an evaluation at temperature 1."""
        long, long_accuracy = float(self.classes(setting, 1.0)[2]), long_reward(setting.modulus, q=setting.q)
        greedy = self.greedy_long(setting)
        return {
            "long_share": long,
            "accuracy": long * long_accuracy + (1 - long) / setting.modulus,
            "greedy_long": greedy,
            "greedy_accuracy": long_accuracy if greedy else 1 / setting.modulus,
        }
