"""What a perfect but blind learner of the mixture does, and what reinforcement learning makes of it, in closed form.

Setting: d >= 2 uniform digits modulo K; a share p = p_cot of long demonstrations y_1..y_d <eos>, y_l = x_1 + .. + x_l,
the others short, y_d <eos>. The learner is at the minimum of the cross-entropy, except that it is *blind*: what it
reads from the prompt is independent of the whole sum. It knows the steps y_l = y_{l-1} + x_l, and the first token of a
chain, x_1. So a response is the long one, always right, or one of K short answers, right with probability 1/K.

At a tie, p exactly at the threshold, greedy is called short. At d = 1 both forms are one and nothing is hidden, so d
below 2 is a ValueError, as are K < 2, p outside [0, 1] and a temperature that is not positive. Functions of p and K
take (p, modulus), those that need d (d, modulus, p_cot). Source for K = 2: arXiv 2510.11495; the rest: derived here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Reward = Literal["chain", "end_to_end"]
TIE = 1e-9  # in STaR's later rounds, log-odds closer to zero than this are a tie up to rounding


@dataclass(frozen=True)
class ResponseShares:
    """Probabilities of the whole chain, of the short answer x_1 and of each of the K - 1 other short answers."""

    long: float
    agree: float
    differ: float
    """long + agree + (K - 1) differ = 1."""


@dataclass(frozen=True)
class MixtureEntropy:
    """The least loss of a blind learner in nats, per demonstration and per output token (EOS included)."""

    sequence: float
    token: float  # what the token-mean loss of large batches tends to
    short_token: float | None  # of demonstrations of one form only; None where p_cot leaves none of them
    long_token: float | None


def threshold(modulus: int) -> float:
    """The p_cot above which greedy goes long, 1 / (K + 1): there going on after x_1, with odds Kp : 1 - p, wins."""
    _check(modulus=modulus)
    return 1 / (modulus + 1)


def response_shares(p: float, modulus: int, *, temperature: float = 1.0) -> ResponseShares:
    """Probabilities of the long and of each short response when every token is sampled at `temperature`.

    First token: a long demonstration shows x_1; a short one the sum, to the blind learner a uniform symbol. So x_1 has
    probability a = p + b, every other symbol b = (1 - p) / K. Second token: after any other symbol surely <eos>; after
    x_1 the demonstration is long with probability p / a (then y_2 follows) and short with b / a (<eos>). All later
    tokens are certain. Temperature t raises the probabilities of each token to the power 1/t and normalises them:
    long = first * on with first = a^(1/t) / (a^(1/t) + (K-1) b^(1/t)) and on = p^(1/t) / (p^(1/t) + b^(1/t)).
    At t = 1: long = p, every short answer b: the mixture itself (length calibration).
    """
    _check(p=p, modulus=modulus, temperature=temperature)
    b = (1 - p) / modulus
    first, differ = _tempered((p + b, b), (1, modulus - 1), temperature)
    on, stop = _tempered((p, b), (1, 1), temperature)
    return ResponseShares(long=first * on, agree=first * stop, differ=differ)


def first_token_probability(p: float, modulus: int) -> float:
    """P(y_1 = x_1) = p + (1 - p) / K: all long demonstrations, and the K-th part of the short ones."""
    _check(p=p, modulus=modulus)
    return p + (1 - p) / modulus


def go_on_probability(p: float, modulus: int) -> float:
    """P(no <eos> after y_1 = x_1) = Kp / (1 + (K - 1) p): by Bayes, such a start is long : short as p : (1 - p) / K."""
    return p / first_token_probability(p, modulus)


def sampled_long_share(p: float, modulus: int, temperature: float = 1.0) -> float:
    """Share of long responses when sampled at `temperature` (response_shares); p itself at temperature 1."""
    return response_shares(p, modulus, temperature=temperature).long


def sampled_accuracy(p: float, modulus: int, temperature: float = 1.0) -> float:
    """Accuracy of samples, long + (1 - long) / K: given x_1 the sum is uniform, so a short answer is a guess."""
    long = sampled_long_share(p, modulus, temperature)
    return long + (1 - long) / modulus


def greedy(p: float, modulus: int) -> Literal["short", "long"]:
    """The form of greedy responses, "long" iff p > threshold(modulus); they begin with x_1 for every p > 0."""
    _check(p=p)
    return "long" if p > threshold(modulus) else "short"


def greedy_accuracy(p: float, modulus: int) -> float:
    """Accuracy of greedy responses: 1 if they are long; 1/K if short, as they answer x_1 (any symbol at p = 0)."""
    return 1.0 if greedy(p, modulus) == "long" else 1 / modulus


def greedy_length_median(d: int, modulus: int, p_cot: float) -> int:
    """Median length of greedy responses in tokens without <eos>: all have length d, or all have length 1."""
    _check(d=d)
    return d if greedy(p_cot, modulus) == "long" else 1


def pass_at_k(p: float, k: int, modulus: int, *, temperature: float = 1.0) -> float:
    """Probability that one of k sampled responses to the same prompt is right.

    In the K-th part of the prompts the sum equals x_1, and a response is wrong with probability (K - 1) differ, in the
    others with agree + (K - 2) differ (response_shares). pass@k = 1 - mean over prompts of wrong^k.
    At temperature 1 both are (K - 1)(1 - p) / K; K = 2: pass@k = 1 - ((1 - p) / 2)^k.
    """
    return 1 - sum(weight * wrong**k for weight, wrong in _wrong(p, modulus, temperature, k=k))


def dead_group_probability(p: float, group_size: int, modulus: int, *, temperature: float = 1.0) -> float:
    """Probability that G responses to one prompt are all right or all wrong: no advantage, no gradient.

    a^G + (1 - a)^G with a the prompt's accuracy, averaged over the two kinds of prompts of pass_at_k (at temperature 1
    there is one, a = p + (1 - p) / K). The same for the end-to-end and the chain reward, as chains are right.
    """
    kinds = _wrong(p, modulus, temperature, group_size=group_size)
    return sum(weight * (wrong**group_size + (1 - wrong) ** group_size) for weight, wrong in kinds)


def star_next_share(p: float, modulus: int, *, q: float = 1.0, reward: Reward = "chain") -> float:
    """Share of long responses among those that STaR keeps, p r / (p r + (1 - p) / K); p is their share sampled.

    Short ones are right, and kept, with probability 1/K, long ones with r. If a chain is right with probability q:
    r = q for the reward "chain"; for "end_to_end" a derailed chain is assumed to end in a uniform guess, so
    r = q + (1 - q) / K. The share grows iff r > 1/K: with "chain" iff q > 1/K, with "end_to_end" for every q > 0.
    q = 1 at temperature 1: the kept set is the mixture D(p') with p' = Kp / (1 + (K-1) p), the odds p/(1-p) times K.
    """
    _check(p=p, modulus=modulus)
    if not 0 <= q <= 1:
        raise ValueError(f"q is {q}; allowed: 0 to 1")
    if reward not in ("chain", "end_to_end"):
        raise ValueError(f"reward is {reward!r}; allowed: chain, end_to_end")
    kept_long = p * (q if reward == "chain" else q + (1 - q) / modulus)
    kept = kept_long + (1 - p) / modulus
    if kept == 0:
        raise ValueError("STaR keeps nothing where all responses are long and no chain is right (p_cot 1, q 0)")
    return kept_long / kept


def star_share_after(p: float, rounds: int, modulus: int) -> float:
    """Long share after n `rounds` of STaR at temperature 1, chains right: the odds p / (1 - p) grow by K^n."""
    _check(p=p, modulus=modulus)
    if rounds < 0:
        raise ValueError(f"rounds is {rounds}; allowed: 0 and more")
    return p / (p + (1 - p) * float(modulus) ** -rounds) if p else 0.0


def star_rounds_to_flip(p: float, modulus: int, *, temperature: float = 1.0) -> int | None:
    """Rounds of STaR, sampling at `temperature` with right chains, until greedy goes long; None if it never does.

    Let u be the log-odds of going on after x_1, at first log(Kp / (1 - p)); greedy is long iff u > 0. Sampling divides
    u by the temperature t, keeping right answers divides the weight of stopping by K, and the learner takes over what
    is kept: u' = log K + u / t. The map is increasing, so u only rises or only falls.
    t = 1: the least n with K^n Kp > 1 - p, O(log((1 - p) / p)). t > 1: no more rounds than that.
    t < 1: STaR dies out below the fixed point, iff Kp / (1 - p) <= K^(-t / (1 - t)); K = 2, t = .75: iff p <= 1/17.
    """
    _check(p=p, modulus=modulus, temperature=temperature)
    if p == 0 or greedy(p, modulus) == "long":
        return 0 if p else None
    u, rounds = math.log(modulus) + math.log(p) - math.log1p(-p), 0
    while rounds == 0 or u <= TIE:
        following = math.log(modulus) + u / temperature
        if following <= u + TIE:
            return None
        u, rounds = following, rounds + 1
    return rounds


def mixture_entropy(d: int, modulus: int, p_cot: float) -> MixtureEntropy:
    """The least cross-entropy that a blind learner reaches on the mixture, h(p) + (1 - p) log K per demonstration.

    A long demonstration has probability a * p/a = p (first token, going on; the later tokens and <eos> are certain), a
    short one b = (1 - p) / K: b * 1 if it differs from x_1, a * b/a if not. So each long one costs log(1/p), each short
    one log(K / (1 - p)): which form (h(p), the entropy of a p-coin) and which guess. Output tokens with <eos>: d + 1 or
    2, on average 2 + p (d - 1). `token` is the ratio of the means; a batch divides its own sums, which tends to it.
    """
    _check(d=d, modulus=modulus, p=p_cot)
    long = -math.log(p_cot) if p_cot > 0 else None
    short = math.log(modulus) - math.log1p(-p_cot) if p_cot < 1 else None
    sequence = p_cot * (long or 0.0) + (1 - p_cot) * (short or 0.0)
    short_token = None if short is None else short / 2
    long_token = None if long is None else long / (d + 1)
    return MixtureEntropy(sequence, sequence / (2 + p_cot * (d - 1)), short_token, long_token)


def sequence_mean_p_cot(d: int, p_cot: float) -> float:
    """The p_cot by which the minimiser of the *sequence-mean* loss behaves, instead of the true one.

    A mean over each sequence's own tokens gives a long demonstration's decisions the weight 1 / (d + 1), a short one's
    1 / 2. Weighted cross-entropy is least at the weighted conditional frequencies: the learner of D(p') with the odds
    p' / (1 - p') = p / (1 - p) * 2 / (d + 1). d = 50, p = .25: p' = .013. In the token mean all tokens weigh the same.
    """
    _check(d=d, p=p_cot)
    long, short = p_cot / (d + 1), (1 - p_cot) / 2
    return long / (long + short)


def predictions(d: int, modulus: int, p_cot: float, temperature: float = 1.0) -> dict[str, Any]:
    """What a perfect learner of the mixture does, STaR from there, and the limit of RL (`posttrain`).

    Greedy figures are of the temperature-1 model; `temperature` is that of the samples, STaR's included. The limit is
    long responses only, the one way to be surely right; where p_cot = 0 none is ever sampled and all of it is None.
    """
    limit = {"greedy_accuracy": 1.0, "greedy_length_median": d, "sampled_accuracy": 1.0, "sampled_long_share": 1.0}
    long = sampled_long_share(p_cot, modulus, temperature)
    return {
        "threshold": threshold(modulus),
        "greedy": greedy(p_cot, modulus),
        "greedy_accuracy": greedy_accuracy(p_cot, modulus),
        "greedy_length_median": greedy_length_median(d, modulus, p_cot),
        "sampled_accuracy": sampled_accuracy(p_cot, modulus, temperature),
        "sampled_long_share": long,
        "star_next_share": star_next_share(long, modulus),
        "star_rounds_to_flip": star_rounds_to_flip(p_cot, modulus, temperature=temperature),
        "posttrain": limit if p_cot > 0 else dict.fromkeys(limit),
    }


def _tempered(weights: tuple[float, float], counts: tuple[int, int], temperature: float) -> tuple[float, float]:
    """Probability of one outcome of each of two kinds, of which there are `counts`, after tempering their weights."""
    powers = [(weight / max(weights)) ** (1 / temperature) for weight in weights]
    total = sum(count * power for count, power in zip(counts, powers, strict=True))
    return powers[0] / total, powers[1] / total


def _wrong(p: float, modulus: int, temperature: float, **samples: int) -> tuple[tuple[float, float], ...]:
    """(share of prompts, probability of a wrong response) for prompts whose sum is x_1, and for the others."""
    for name, count in samples.items():
        if not count >= 1:
            raise ValueError(f"{name} is {count}; allowed: 1 and more")
    shares = response_shares(p, modulus, temperature=temperature)
    same, other = (modulus - 1) * shares.differ, shares.agree + (modulus - 2) * shares.differ
    return (1 / modulus, same), (1 - 1 / modulus, other)


def _check(*, p: float = 0.5, modulus: int = 2, temperature: float = 1.0, d: int = 2) -> None:
    """ValueError in one line for the first argument that is not allowed."""
    if not modulus >= 2:
        raise ValueError(f"modulus is {modulus}; allowed: 2 and more")
    if not 0 <= p <= 1:
        raise ValueError(f"p_cot is {p}; allowed: 0 to 1")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; allowed: above 0 and finite")
    if not d >= 2:
        raise ValueError(f"d is {d}; allowed: 2 and more (with one digit the long and the short form are the same)")
