"""A policy that is nothing but its choice of form: two log-odds, and what its responses are worth.

After next-token prediction a blind learner has two uncertain decisions: whether the first token is x_1 (`first`), and,
after x_1, whether to go on (`go_on`). All later tokens of a chain are certain, so no logit but these two has a
gradient. A response falls into one of three classes:

    class  response                  probability   tokens with EOS   right where the sum is x_1 / elsewhere
    W      a symbol but x_1, stop    1 - f         2                 0 / 1/(K - 1)
    S      x_1, stop                 f (1 - g)     2                 1 / 0
    L      long                      f g           d + 1             r / r    (closed_forms.long_reward)

With a marker the form is chosen before any value: f = 1, each class has a token more, and S is right with 1/K on every
prompt. Exact for a blind learner with certain steps; for chain accuracy q < 1 it takes q as given.
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
    """What does not change while the policy learns."""

    modulus: int = 2
    d: int = 50
    marker: bool = False
    q: float = 1.0
    """Probability that a long response is right throughout."""
    reward: str = "end_to_end"
    temperature: float = 1.0
    """Of sampling and of scoring."""

    def __post_init__(self) -> None:
        """ValueError in one line for what is not allowed."""
        check(modulus=self.modulus, d=self.d, temperature=self.temperature)
        long_reward(self.modulus, q=self.q, reward=self.reward)

    @property
    def num_actions(self) -> Array:
        """(3,) sampled tokens of a response of each class, EOS included."""
        return np.array([2.0, 2.0, self.d + 1.0]) + self.marker

    @property
    def kinds(self) -> list[tuple[float, Array]]:
        """(share of prompts, (3,) expected reward of each class) where the sum is x_1, and elsewhere."""
        K, long = self.modulus, long_reward(self.modulus, q=self.q, reward=self.reward)
        short = 1 / K if self.marker else 1.0
        elsewhere = 1 / K if self.marker else 0.0
        return [(1 / K, np.array([0.0, short, long])), (1 - 1 / K, np.array([1 / (K - 1), elsewhere, long]))]

    @property
    def mean_rewards(self) -> Array:
        """(3,) expected reward of each class over both kinds of prompts: 1/K, 1/K and r."""
        return np.sum([share * reward for share, reward in self.kinds], axis=0)


@dataclass(frozen=True)
class ModePolicy:
    """The two log-odds at temperature 1; `first` is infinite with a marker."""

    first: float
    """log P(y_1 = x_1) / P(y_1 != x_1)."""
    go_on: float
    """log P(going on) / P(stopping), after y_1 = x_1 or at the marker."""

    @classmethod
    def after_pretraining(cls, p: float, setting: Setting) -> ModePolicy:
        """The minimizer of next-token prediction at p_cot = p (closed_forms)."""
        if setting.marker:
            check(p=p)
            return cls(math.inf, log_odds(p))
        first, go_on = first_token_probability(p, setting.modulus), go_on_probability(p, setting.modulus)
        return cls(log_odds(first), log_odds(go_on))

    def probabilities(self, setting: Setting, temperature: float | None = None) -> tuple[float, float]:
        """(f, g) at a temperature, by default the setting's.

        The first token has K logits; x_1's exceeds each other's by first + log(K - 1), and temperature divides that.
        """
        t, others = temperature or setting.temperature, math.log(setting.modulus - 1)
        return sigmoid((self.first + others) / t - others), sigmoid(self.go_on / t)

    def classes(self, setting: Setting, temperature: float | None = None) -> Array:
        """(3,) probabilities of W, S and L."""
        f, g = self.probabilities(setting, temperature)
        return np.array([1 - f, f * (1 - g), f * g])

    def log_probs(self, setting: Setting) -> Array:
        """(3, 2) log-probabilities of the first decision's and of the second decision's token, in each class."""
        f, g = self.probabilities(setting)
        first = [(1 - f) / (setting.modulus - 1), f, f]
        with np.errstate(divide="ignore"):
            return np.log(np.array([first, [1.0, 1 - g, g]]).T)

    def scores(self, setting: Setting) -> Array:
        """(3, 2) derivatives of log_probs: the first column by `first`, the second by `go_on`."""
        f, g = self.probabilities(setting)
        return np.array([[-f, 0.0], [1 - f, -g], [1 - f, 1 - g]]) / setting.temperature

    def greedy_long(self, setting: Setting) -> bool:
        """Greedy responses are long: x_1 is the likeliest symbol, and going on likelier than stopping."""
        return self.first + math.log(setting.modulus - 1) > 0 and self.go_on > 0

    def measures(self, setting: Setting) -> dict[str, Any]:
        """{long_share, accuracy, greedy_long, greedy_accuracy} as an evaluation at temperature 1 finds them."""
        long, answer = float(self.classes(setting, 1.0)[2]), long_reward(setting.modulus, q=setting.q)
        greedy = self.greedy_long(setting)
        return {
            "long_share": long,
            "accuracy": long * answer + (1 - long) / setting.modulus,
            "greedy_long": greedy,
            "greedy_accuracy": answer if greedy else 1 / setting.modulus,
        }
