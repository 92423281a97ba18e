"""The closed forms for chains with slips against the sum over every demonstration."""

import itertools
from collections import defaultdict

import pytest

from chainlift.theory import closed_forms, noisy_chain

CASES = [(2, 3, 0.3, 0.1), (3, 3, 0.2, 0.25), (2, 4, 0.6, 0.4), (5, 2, 0.1, 0.05)]


def mixture(K: int, length: int, p: float, noise: float) -> dict[tuple[int, ...], float]:
    """Probability of each response to the prompt whose elements are all 0: gold is 0 .. 0, and the answer 0.

    By symmetry every prompt has the same probabilities, relabelled. The learner takes a short answer for uniform.
    """
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for slips in itertools.product(range(K), repeat=length):
        chain = tuple(itertools.accumulate(slips, lambda a, b: (a + b) % K))
        chance = 1.0
        for slip in slips:
            chance *= 1 - noise if slip == 0 else noise / (K - 1)
        found[chain] += p * chance
    for answer in range(K):
        found[(answer,)] += (1 - p) / K
    return found


@pytest.mark.parametrize(("K", "length", "p", "noise"), CASES)
def test_against_enumeration(K: int, length: int, p: float, noise: float) -> None:
    responses = mixture(K, length, p, noise)
    assert sum(responses.values()) == pytest.approx(1)
    first = sum(chance for response, chance in responses.items() if response[0] == 0)
    goes_on = sum(chance for response, chance in responses.items() if response[0] == 0 and len(response) > 1)
    assert noisy_chain.first_token_probability(p, K, noise) == pytest.approx(first)
    assert noisy_chain.go_on_probability(p, K, noise) == pytest.approx(goes_on / first)
    right = sum(chance for response, chance in responses.items() if response[-1] == 0)
    assert noisy_chain.sampled_accuracy(p, length, K, noise) == pytest.approx(right)
    assert noisy_chain.chain_accuracy(length, noise) * p == pytest.approx(responses[(0,) * length])


@pytest.mark.parametrize(("K", "length", "p", "noise"), CASES)
def test_a_round_of_star_against_enumeration(K: int, length: int, p: float, noise: float) -> None:
    responses = mixture(K, length, p, noise)
    for reward in ("chain", "end_to_end"):
        kept = {
            response: chance
            for response, chance in responses.items()
            if response[-1] == 0 and (reward == "end_to_end" or response in ((0,), (0,) * length))
        }
        share = sum(chance for response, chance in kept.items() if len(response) > 1) / sum(kept.values())
        assert noisy_chain.star_next_share(p, length, K, noise, reward) == pytest.approx(share)
        grows = K * noisy_chain.kept_long(length, K, noise, reward) > 1
        assert (share > p) == grows


@pytest.mark.parametrize("K", [2, 3, 7])
def test_the_threshold_is_where_going_on_is_even(K: int) -> None:
    for noise in (0.0, 0.1, 0.3):
        at = noisy_chain.threshold(K, noise)
        assert noisy_chain.go_on_probability(at, K, noise) == pytest.approx(0.5)
    assert noisy_chain.threshold(K, 0.0) == pytest.approx(closed_forms.threshold(K))
    assert noisy_chain.threshold(K, 1 - 1 / K) == 1.0, "a first step that is no likelier right than any other"


def test_no_noise_is_the_closed_forms() -> None:
    told = noisy_chain.predictions(9, 3, 0.2, 0.0, "chain")
    assert told["sampled_accuracy"] == pytest.approx(closed_forms.sampled_accuracy(0.2, 3))
    assert told["go_on"] == pytest.approx(closed_forms.go_on_probability(0.2, 3))
    assert (told["greedy"], told["greedy_accuracy"], told["greedy_length_median"]) == ("short", 1 / 3, 1)
    assert noisy_chain.predictions(9, 3, 0.3, 0.0, None)["greedy"] == "long"


def test_rl_is_not_promised_where_it_cannot_grow() -> None:
    assert noisy_chain.predictions(10, 2, 0.3, 0.11, "chain")["rl"]["greedy_accuracy"] is None
    assert noisy_chain.predictions(10, 2, 0.3, 0.11, "end_to_end")["rl"]["greedy_accuracy"] == 1.0
    assert noisy_chain.predictions(10, 2, 0.0, 0.01, "chain")["rl"]["greedy_accuracy"] is None


@pytest.mark.parametrize("noise", [-0.1, 1.1, float("nan")])
def test_bad_noise(noise: float) -> None:
    with pytest.raises(ValueError, match="noise is"):
        noisy_chain.threshold(2, noise)
