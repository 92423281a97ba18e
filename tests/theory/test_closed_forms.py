"""The closed forms against exact enumeration: all prompts, all demonstrations, a learner fitted by counting."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlift.theory import closed_forms, star
from tests.theory.blind_learner import (
    EOS,
    SHARES,
    SIZES,
    TEMPERATURES,
    BlindLearner,
    chain,
    is_long,
    mixture,
    prompts,
    right,
    short,
)

share = st.floats(0, 1)
modulus = st.integers(2, 60)


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("p", SHARES)
@pytest.mark.parametrize("marker", [False, True])
def test_response_shares_and_samples(d, K, p, marker):
    learner = BlindLearner.fit(mixture(d, K, p, marker))
    for t in TEMPERATURES:
        shares = closed_forms.response_shares(p, K, temperature=t, marker=marker)
        for x in prompts(d, K):
            responses = learner.responses(x, t)
            assert responses.get(chain(x, K, marker), 0.0) == pytest.approx(shares.long)
            for answer in range(K):
                expected = shares.agree if answer == x[0] else shares.differ
                assert responses.get(short(answer, marker), 0.0) == pytest.approx(expected, abs=1e-12)
            assert sum(responses.values()) == pytest.approx(1)
        sampled = [(x, y, w / K**d) for x in prompts(d, K) for y, w in learner.responses(x, t).items()]
        long, hits = sum(w for _, y, w in sampled if is_long(y)), sum(w for x, y, w in sampled if right(x, y, K))
        assert closed_forms.sampled_long_share(p, K, t, marker=marker) == pytest.approx(long)
        assert closed_forms.sampled_accuracy(p, K, t, marker=marker) == pytest.approx(hits)


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("p", SHARES)
def test_token_probabilities(d, K, p):
    learner = BlindLearner.fit(mixture(d, K, p))
    for x in prompts(d, K):
        assert learner.next_token(x, ()).get(x[0], 0.0) == pytest.approx(closed_forms.first_token_probability(p, K))
        going_on = 1 - learner.next_token(x, x[:1]).get(EOS, 0.0)
        assert going_on == pytest.approx(closed_forms.go_on_probability(p, K))


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("offset", [-0.9, -0.01, 0.01, 0.9])
@pytest.mark.parametrize("marker", [False, True])
def test_greedy_on_both_sides_of_the_threshold(d, K, offset, marker):
    p = closed_forms.threshold(K, marker=marker) * (1 + offset)
    learner = BlindLearner.fit(mixture(d, K, p, marker))
    greedy = {x: learner.greedy(x) for x in prompts(d, K)}
    assert {is_long(y) for y in greedy.values()} == {closed_forms.greedy(p, K, marker=marker) == "long"} == {offset > 0}
    assert closed_forms.greedy_accuracy(p, K, marker=marker) == pytest.approx(
        sum(right(x, y, K) for x, y in greedy.items()) / K**d
    )
    lengths = sorted(len(y) - 1 for y in greedy.values())
    assert closed_forms.greedy_length_median(d, K, p, marker=marker) == lengths[len(lengths) // 2]


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("p", SHARES)
@pytest.mark.parametrize("marker", [False, True])
def test_mixture_entropy_token_by_token(d, K, p, marker):
    demonstrations = mixture(d, K, p, marker)
    learner = BlindLearner.fit(demonstrations)
    loss, tokens, entropy = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}, 0.0
    for (x, y), weight in demonstrations.items():
        for i, token in enumerate(y):
            distribution = learner.next_token(x, y[:i])
            loss[is_long(y)] -= weight * math.log(distribution[token])
            tokens[is_long(y)] += weight
    for x in prompts(d, K):
        entropy -= sum(w * math.log(w) for w in learner.responses(x).values()) / K**d
    found = closed_forms.mixture_entropy(d, K, p, marker=marker)
    assert found.sequence == pytest.approx(sum(loss.values()), abs=1e-12)
    assert found.sequence == pytest.approx(entropy, abs=1e-12), "a calibrated learner's loss is its own entropy"
    assert found.token == pytest.approx(sum(loss.values()) / sum(tokens.values()), abs=1e-12)
    for long, value in ((False, found.short_token), (True, found.long_token)):
        if tokens[long]:
            assert value == pytest.approx(loss[long] / tokens[long], abs=1e-12)
        else:
            assert value is None


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.95])
def test_sequence_mean_learns_another_mixture(d, K, p):
    weighted = {(x, y): weight / len(y) for (x, y), weight in mixture(d, K, p).items()}
    learner = BlindLearner.fit(weighted)
    shares = closed_forms.response_shares(closed_forms.sequence_mean_p_cot(d, p), K)
    for x in prompts(d, K):
        responses = learner.responses(x)
        assert responses[chain(x, K)] == pytest.approx(shares.long)
        assert responses[(x[0], EOS)] == pytest.approx(shares.agree)


def test_sequence_mean_minimizer_by_perturbing_it():
    """The sequence-mean loss itself, as a function of the p_cot that a learner behaves by, is least at the formula."""
    d, K, p = 3, 2, 0.5

    def loss(seen: float) -> float:
        learner = BlindLearner.fit(mixture(d, K, seen))
        return -sum(
            weight / len(y) * sum(math.log(learner.next_token(x, y[:i])[token]) for i, token in enumerate(y))
            for (x, y), weight in mixture(d, K, p).items()
        )

    best = closed_forms.sequence_mean_p_cot(d, p)
    assert loss(best) < min(loss(best - 0.02), loss(best + 0.02), loss(p))


@pytest.mark.parametrize("K", [2, 3, 4, 7, 100])
def test_at_the_threshold_greedy_is_short_and_goes_on_with_probability_one_half(K):
    p = closed_forms.threshold(K)
    assert closed_forms.go_on_probability(p, K) == pytest.approx(0.5)
    assert closed_forms.greedy(p, K) == "short"
    assert closed_forms.greedy(math.nextafter(p, 1), K) == "long"
    assert star.star_rounds_to_flip(p, K) == 1


@settings(deadline=None)
@given(p=share, K=modulus)
def test_length_calibration_and_limits_of_temperature(p, K):
    assert closed_forms.sampled_long_share(p, K) == pytest.approx(p)
    cold = closed_forms.sampled_long_share(p, K, 1e-4)
    if abs(p - closed_forms.threshold(K)) > 0.01:
        assert cold == pytest.approx(float(closed_forms.greedy(p, K) == "long"), abs=1e-6)
    if 1e-3 < p < 1 - 1e-3:
        assert closed_forms.sampled_long_share(p, K, 1e7) == pytest.approx(1 / (2 * K), rel=1e-4)


@pytest.mark.parametrize(("d", "K"), [(2, 2), (5, 2), (3, 3), (4, 3), (2, 5)])
@pytest.mark.parametrize("s", [0.0, 0.2, 1 / 3, 0.5, 0.9, 1.0])
def test_derailed_chains_by_all_vectors_of_slips(d, K, s):
    exact = ends_right = 0.0
    for slips in itertools.product(range(K), repeat=d):
        weight = math.prod(s if slip == 0 else (1 - s) / (K - 1) for slip in slips)
        exact += weight * (not any(slips))
        ends_right += weight * (any(slips) and sum(slips) % K == 0)
    q, r = closed_forms.derailed_accuracy(d, K, s)
    assert q == pytest.approx(exact, abs=1e-12)
    assert r * (1 - q) == pytest.approx(ends_right, abs=1e-12)


def test_a_derailed_chain_is_a_guess_only_after_many_slips():
    assert closed_forms.derailed_accuracy(1000, 2, 0.95)[1] == pytest.approx(1 / 2, abs=1e-3)
    assert closed_forms.derailed_accuracy(50, 2, 0.999)[1] < 0.03


@pytest.mark.parametrize("K", [2, 3, 7])
@pytest.mark.parametrize("q", [0.0, 0.4, 1.0])
def test_the_reward_of_long_responses(K, q):
    ends = [q + (1 - q) * (answer == 0) / K if answer == 0 else (1 - q) / K for answer in range(K)]
    assert sum(ends) == pytest.approx(1)
    assert closed_forms.long_reward(K, q=q) == pytest.approx(ends[0])
    assert closed_forms.long_reward(K, q=q, reward="chain") == q
    p = 0.3
    expected = p * ends[0] + (1 - p) / K
    assert closed_forms.sampled_accuracy(p, K, q=q) == pytest.approx(expected)
    assert closed_forms.sampled_accuracy(p, K, q=q, reward="chain") == pytest.approx(p * q + (1 - p) / K)
    assert closed_forms.greedy_accuracy(0.9, K, q=q) == pytest.approx(ends[0])
    assert closed_forms.greedy_accuracy(0.0, K, q=q) == pytest.approx(1 / K)


def test_the_critical_share_of_openings():
    assert closed_forms.critical_share(1.0) == closed_forms.threshold(2, marker=True) == 1 / 2
    assert closed_forms.critical_share(1 / 2) == pytest.approx(2 / 3)
    for q in (0.1, 0.5, 1.0):
        p = closed_forms.critical_share(q)
        assert p * q == pytest.approx(1 - p)  # at the threshold both forms open with the same probability
    for q in (0.0, -0.1, 1.1):
        with pytest.raises(ValueError, match="opening_mass must be above 0"):
            closed_forms.critical_share(q)
