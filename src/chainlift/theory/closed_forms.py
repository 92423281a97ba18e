"""Closed forms for a perfect but blind learner of the mixture.

Setting: d >= 2 uniform digits modulo K. A share p = p_cot of demonstrations is long, y_1..y_d <eos> with
y_l = x_1 + .. + x_l; the others are short, y_d <eos>. The learner minimizes the cross-entropy, except that it is
*blind*: what it reads from the prompt is independent of the whole sum. It knows the steps y_l = y_{l-1} + x_l and the
first token of a chain, x_1. So a response is the long one, or one of K short answers, right with probability 1/K.

Three options extend the setting. `marker`: each demonstration opens with a token that names its form, so that the form
is chosen before any value; the marker counts as a token. `q`: a chain is right with probability q; a derailed chain is
assumed to end in a uniform guess, right with probability 1/K (the limit of many slips: derailed_accuracy). `reward`:
what counts as right, the answer ("end_to_end") or the whole response ("chain"); for a short answer they agree.

At a tie, p exactly at the threshold, greedy counts as short. At d = 1 the two forms are equal, so d below 2 is a
ValueError, as are K < 2, p or q outside [0, 1] and a temperature that is not positive. Functions of p and K take
(p, modulus); those that need d take (d, modulus, p_cot). K = 2 at temperature 1 is from arXiv 2510.11495, as others
report it; the rest is derived here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

LONG_REWARDS: dict[str, Callable[[int, float], float]] = {
    "chain": lambda modulus, q: q,
    "end_to_end": lambda modulus, q: q + (1 - q) / modulus,
}
"""{reward with predictions: probability that a long response earns it, as a function of (modulus, q)}."""
MAX_SIZE = 1_000_000
"""Largest modulus and number of digits."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-6, 1e9
"""Range of temperatures: beyond it, differences of log-odds fall below rounding."""


@dataclass(frozen=True)
class ResponseShares:
    """Probabilities of the long response, of the short answer x_1 and of each of the K - 1 other short answers."""

    long: float
    agree: float
    differ: float
    """long + agree + (K - 1) differ = 1."""


@dataclass(frozen=True)
class MixtureEntropy:
    """The least loss of a blind learner in nats, per demonstration and per output token (EOS included)."""

    sequence: float
    token: float  # the limit of the token-mean loss of large batches
    short_token: float | None  # over short demonstrations alone; None if p_cot is 1
    long_token: float | None  # over long demonstrations alone; None if p_cot is 0


def threshold(modulus: int, *, marker: bool = False) -> float:
    """The p_cot above which greedy goes long: 1 / (K + 1), or 1/2 with a marker.

    Without a marker, greedy begins with x_1, and the odds of going on after it are p : (1 - p) / K (response_shares),
    because only one of the K short answers looks like the start of a chain. A marker comes before any value, so all
    short answers compete with the long response: p : 1 - p.
    """
    check(modulus=modulus)
    return 1 / 2 if marker else 1 / (modulus + 1)


def critical_share(opening_mass: float) -> float:
    """The p_cot above which greedy goes long, 1/(1 + q), if the forms open differently.

    opening_mass: the mass q of the likeliest first token of long forms given the prompt. That token has probability
    p q, and the first token of all short forms, the same for all, 1 - p.
    """
    if not 0 < opening_mass <= 1:
        raise ValueError(f"opening_mass must be above 0 and at most 1, got {opening_mass}")
    return 1 / (1 + opening_mass)


def response_shares(p: float, modulus: int, *, temperature: float = 1.0, marker: bool = False) -> ResponseShares:
    """Probabilities of the long and of each short response when every token is sampled at `temperature`.

    First token: a long demonstration shows x_1, a short one the sum, which is a uniform symbol to the blind learner. So
    x_1 has probability a = p + b, every other symbol b = (1 - p) / K. Second token: after any other symbol always
    <eos>; after x_1 the demonstration is long with probability p / a (y_2 follows) and short with b / a (<eos>). All
    later tokens are certain. Temperature t raises the probabilities of a token to the power 1/t and normalizes them:
    long = first * on with first = a^(1/t) / (a^(1/t) + (K-1) b^(1/t)) and on = p^(1/t) / (p^(1/t) + b^(1/t)).
    At t = 1: long = p, every short answer b: the mixture itself (length calibration).
    With a marker the first token is long : short = p : 1 - p, tempered; a short answer is uniform at every t.
    """
    check(p=p, modulus=modulus, temperature=temperature)
    if marker:
        long, short = _tempered((p, 1 - p), (1, 1), temperature)
        return ResponseShares(long=long, agree=short / modulus, differ=short / modulus)
    b = (1 - p) / modulus
    first, differ = _tempered((p + b, b), (1, modulus - 1), temperature)
    on, stop = _tempered((p, b), (1, 1), temperature)
    return ResponseShares(long=first * on, agree=first * stop, differ=differ)


def first_token_probability(p: float, modulus: int) -> float:
    """P(y_1 = x_1) = p + (1 - p) / K: all long demonstrations, and the K-th part of the short ones."""
    check(p=p, modulus=modulus)
    return p + (1 - p) / modulus


def go_on_probability(p: float, modulus: int) -> float:
    """P(no <eos> after y_1 = x_1) = Kp / (1 + (K - 1) p): by Bayes, such a start is long : short as p : (1 - p) / K."""
    return p / first_token_probability(p, modulus)


def long_reward(modulus: int, *, q: float = 1.0, reward: str = "end_to_end") -> float:
    """Probability that a long response earns its reward: q for "chain", q + (1 - q) / K for "end_to_end".

    "end_to_end" assumes a uniform guess after a derailment; derailed_accuracy shows when that is accurate. ValueError
    for a reward without predictions (LONG_REWARDS).
    """
    check(modulus=modulus, q=q)
    if reward not in LONG_REWARDS:
        raise ValueError(f"reward is {reward!r}; there are predictions for {', '.join(LONG_REWARDS)}")
    return LONG_REWARDS[reward](modulus, q)


def derailed_accuracy(d: int, modulus: int, step_accuracy: float) -> tuple[float, float]:
    """(q, r): probabilities that a chain of d steps is right throughout, and that a derailed one ends right.

    Each step is right with probability s and otherwise off by a uniform non-zero amount e, independently; so q = s^d.
    The answer is off by the sum of the slips. The mean of exp(2 pi i j e / K) is (Ks - 1) / (K - 1) at each frequency
    j = 1..K-1, and the means of a sum's terms multiply. The inverse transform gives the probability of a right answer,
    1/K + (1 - 1/K) ((Ks - 1) / (K - 1))^d, and r = (that - q) / (1 - q). r tends to 1/K for many slips, d (1 - s) >> 1.
    For few slips it is near 0, because a single slip is never corrected; then a uniform guess overestimates it.
    """
    check(d=d, modulus=modulus)
    if not 0 <= step_accuracy <= 1:
        raise ValueError(f"step_accuracy is {step_accuracy}; allowed: 0 to 1")
    q = step_accuracy**d
    answer = 1 / modulus + (1 - 1 / modulus) * ((modulus * step_accuracy - 1) / (modulus - 1)) ** d
    return q, max(answer - q, 0.0) / (1 - q) if q < 1 else 0.0


def sampled_long_share(p: float, modulus: int, temperature: float = 1.0, *, marker: bool = False) -> float:
    """Share of long responses when sampled at `temperature` (response_shares); p itself at temperature 1."""
    return response_shares(p, modulus, temperature=temperature, marker=marker).long


def sampled_accuracy(
    p: float,
    modulus: int,
    temperature: float = 1.0,
    *,
    marker: bool = False,
    q: float = 1.0,
    reward: str = "end_to_end",
) -> float:
    """Accuracy of samples, long * long_reward + (1 - long) / K: given x_1 the sum is uniform, so short is a guess."""
    long = sampled_long_share(p, modulus, temperature, marker=marker)
    return long * long_reward(modulus, q=q, reward=reward) + (1 - long) / modulus


def greedy(p: float, modulus: int, *, marker: bool = False) -> Literal["short", "long"]:
    """The form of greedy responses, "long" iff p > threshold; without a marker they begin with x_1 for every p > 0."""
    check(p=p)
    return "long" if p > threshold(modulus, marker=marker) else "short"


def greedy_accuracy(
    p: float, modulus: int, *, marker: bool = False, q: float = 1.0, reward: str = "end_to_end"
) -> float:
    """Accuracy of greedy responses: long_reward if they are long; 1/K if short, one symbol whatever the sum."""
    long_accuracy = long_reward(modulus, q=q, reward=reward)
    return long_accuracy if greedy(p, modulus, marker=marker) == "long" else 1 / modulus


def greedy_length_median(d: int, modulus: int, p_cot: float, *, marker: bool = False) -> int:
    """Median length of greedy responses in tokens without <eos>: all d or all 1, and one more with a marker."""
    check(d=d)
    return (d if greedy(p_cot, modulus, marker=marker) == "long" else 1) + marker


def mixture_entropy(d: int, modulus: int, p_cot: float, *, marker: bool = False) -> MixtureEntropy:
    """The least cross-entropy that a blind learner reaches on the mixture, h(p) + (1 - p) log K per demonstration.

    A long demonstration has probability a * p/a = p (first token, going on; later tokens and <eos> are certain). A
    short one has b = (1 - p) / K: b * 1 if it differs from x_1, a * b/a otherwise. So a long one costs log(1/p) and a
    short one log(K / (1 - p)), for the form (h(p), the entropy of a p-coin) and for the guess. Output tokens with
    <eos>: d + 1 or 2, on average 2 + p (d - 1). `token` is the ratio of the means, the limit of the ratio of a batch's
    sums. A marker only moves the choice of form to the front and adds a token to each demonstration.
    """
    check(d=d, modulus=modulus, p=p_cot)
    long = -math.log(p_cot) if p_cot > 0 else None
    short = math.log(modulus) - math.log1p(-p_cot) if p_cot < 1 else None
    sequence = p_cot * (long or 0.0) + (1 - p_cot) * (short or 0.0)
    short_token = None if short is None else short / (2 + marker)
    long_token = None if long is None else long / (d + 1 + marker)
    return MixtureEntropy(sequence, sequence / (2 + marker + p_cot * (d - 1)), short_token, long_token)


def sequence_mean_p_cot(d: int, p_cot: float) -> float:
    """The effective p_cot of the minimizer of the *sequence-mean* loss, without a marker.

    The mean over each sequence's tokens gives a long demonstration's decisions the weight 1 / (d + 1) and a short one's
    the weight 1 / 2. Weighted cross-entropy is least at the weighted conditional frequencies, those of D(p') with
    p' / (1 - p') = p / (1 - p) * 2 / (d + 1). For d = 50 and p = .25, p' = .013. In the token mean all tokens have
    equal weight.
    """
    check(d=d, p=p_cot)
    long, short = p_cot / (d + 1), (1 - p_cot) / 2
    return long / (long + short)


def _tempered(weights: tuple[float, float], counts: tuple[int, int], temperature: float) -> tuple[float, float]:
    """Probability of one outcome of each of two kinds with `counts` outcomes, after tempering their weights."""
    powers = [(weight / max(weights)) ** (1 / temperature) for weight in weights]
    total = sum(count * power for count, power in zip(counts, powers, strict=True))
    return powers[0] / total, powers[1] / total


def log_odds(p: float) -> float:
    """log(p / (1 - p)); infinite at 0 and 1."""
    return math.inf if p >= 1 else -math.inf if p <= 0 else math.log(p) - math.log1p(-p)


def sigmoid(u: float) -> float:
    """The probability whose log-odds are u, without cancellation at either end; u may be infinite."""
    return 1 / (1 + math.exp(-u)) if u >= 0 else math.exp(u) / (1 + math.exp(u))


def _short(number: int) -> str:
    """A number for an error message; the user may have typed hundreds of digits."""
    return str(number) if abs(number) < 10**12 else "a number of more than 12 digits"


def check(*, p: float = 0.5, modulus: int = 2, temperature: float = 1.0, d: int = 2, q: float = 1.0) -> None:
    """Raise ValueError in one line for the first argument that is not allowed."""
    if not 2 <= modulus <= MAX_SIZE:
        raise ValueError(f"modulus is {_short(modulus)}; allowed: 2 to {MAX_SIZE}")
    if not 0 <= p <= 1:
        raise ValueError(f"p_cot is {p}; allowed: 0 to 1")
    if not MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE:
        raise ValueError(f"temperature is {temperature}; allowed: {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}")
    if not 2 <= d <= MAX_SIZE:
        reason = "with one digit the long and the short form are the same"
        raise ValueError(f"number of digits d is {_short(d)}; allowed: 2 to {MAX_SIZE} ({reason})")
    if not 0 <= q <= 1:
        raise ValueError(f"chain accuracy q is {q}; allowed: 0 to 1")
