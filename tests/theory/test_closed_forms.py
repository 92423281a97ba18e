"""The closed forms of one model against enumeration (blind_learner.py), their known values, limits and order."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlift.theory import closed_forms as theory
from tests.theory.blind_learner import (
    EOS,
    SHARES,
    SIZES,
    TEMPERATURES,
    BlindLearner,
    chain,
    is_long,
    kept_by_star,
    long_share,
    mixture,
    prompts,
    right,
)

share = st.floats(0, 1)
modulus = st.integers(2, 60)
temperature = st.floats(0.05, 20)


# --- against enumeration


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("p", SHARES)
def test_response_shares_and_samples(d, K, p):
    learner = BlindLearner.fit(mixture(d, K, p))
    for t in TEMPERATURES:
        shares = theory.response_shares(p, K, temperature=t)
        for x in prompts(d, K):
            responses = learner.responses(x, t)
            assert responses.get(chain(x, K), 0.0) == pytest.approx(shares.long)
            for answer in range(K):
                expected = shares.agree if answer == x[0] else shares.differ
                assert responses.get((answer, EOS), 0.0) == pytest.approx(expected, abs=1e-12)
            assert sum(responses.values()) == pytest.approx(1)
        sampled = [(x, y, w / K**d) for x in prompts(d, K) for y, w in learner.responses(x, t).items()]
        assert theory.sampled_long_share(p, K, t) == pytest.approx(sum(w for _, y, w in sampled if is_long(y)))
        assert theory.sampled_accuracy(p, K, t) == pytest.approx(sum(w for x, y, w in sampled if right(x, y, K)))


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("p", SHARES)
def test_token_probabilities(d, K, p):
    learner = BlindLearner.fit(mixture(d, K, p))
    for x in prompts(d, K):
        assert learner.next_token(x, ()).get(x[0], 0.0) == pytest.approx(theory.first_token_probability(p, K))
        going_on = 1 - learner.next_token(x, x[:1]).get(EOS, 0.0)
        assert going_on == pytest.approx(theory.go_on_probability(p, K))


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("offset", [-0.9, -0.01, 0.01, 0.9])
def test_greedy_on_both_sides_of_the_threshold(d, K, offset):
    p = theory.threshold(K) * (1 + offset)
    learner = BlindLearner.fit(mixture(d, K, p))
    greedy = {x: learner.greedy(x) for x in prompts(d, K)}
    assert {is_long(y) for y in greedy.values()} == {theory.greedy(p, K) == "long"} == {offset > 0}
    assert theory.greedy_accuracy(p, K) == pytest.approx(sum(right(x, y, K) for x, y in greedy.items()) / K**d)
    lengths = sorted(len(y) - 1 for y in greedy.values())
    assert theory.greedy_length_median(d, K, p) == lengths[len(lengths) // 2]


@pytest.mark.parametrize(("d", "K"), [(2, 2), (3, 2), (3, 3), (2, 5)])
@pytest.mark.parametrize("t", TEMPERATURES)
def test_pass_at_k_and_dead_groups_by_all_outcomes_of_k_samples(d, K, t):
    p = 0.27
    learner = BlindLearner.fit(mixture(d, K, p))
    for k in (1, 2, 5):
        solved = dead = 0.0
        for x in prompts(d, K):
            accuracy = sum(w for y, w in learner.responses(x, t).items() if right(x, y, K))
            for outcome in itertools.product((True, False), repeat=k):
                weight = math.prod(accuracy if hit else 1 - accuracy for hit in outcome) / K**d
                solved += weight * any(outcome)
                dead += weight * (len(set(outcome)) == 1)
        assert theory.pass_at_k(p, k, K, temperature=t) == pytest.approx(solved)
        assert theory.dead_group_probability(p, k, K, temperature=t) == pytest.approx(dead)


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("p", SHARES)
def test_mixture_entropy_token_by_token(d, K, p):
    demonstrations = mixture(d, K, p)
    learner = BlindLearner.fit(demonstrations)
    loss, tokens, entropy = {True: 0.0, False: 0.0}, {True: 0.0, False: 0.0}, 0.0
    for (x, y), weight in demonstrations.items():
        for i, token in enumerate(y):
            distribution = learner.next_token(x, y[:i])
            loss[is_long(y)] -= weight * math.log(distribution[token])
            tokens[is_long(y)] += weight
    for x in prompts(d, K):
        entropy -= sum(w * math.log(w) for w in learner.responses(x).values()) / K**d
    found = theory.mixture_entropy(d, K, p)
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
    shares = theory.response_shares(theory.sequence_mean_p_cot(d, p), K)
    for x in prompts(d, K):
        responses = learner.responses(x)
        assert responses[chain(x, K)] == pytest.approx(shares.long)
        assert responses[(x[0], EOS)] == pytest.approx(shares.agree)


def test_sequence_mean_minimiser_by_perturbing_it():
    """The sequence-mean loss itself, as a function of the p_cot that a learner behaves by, is least at the formula."""
    d, K, p = 3, 2, 0.5

    def loss(seen: float) -> float:
        learner = BlindLearner.fit(mixture(d, K, seen))
        return -sum(
            weight / len(y) * sum(math.log(learner.next_token(x, y[:i])[token]) for i, token in enumerate(y))
            for (x, y), weight in mixture(d, K, p).items()
        )

    best = theory.sequence_mean_p_cot(d, p)
    assert loss(best) < min(loss(best - 0.02), loss(best + 0.02), loss(p))


# --- known values, limits, monotonicity


def test_parity_as_published():
    assert theory.threshold(2) == pytest.approx(1 / 3)
    assert theory.sampled_accuracy(0.25, 2) == pytest.approx(0.625)
    assert [theory.star_rounds_to_flip(p, 2) for p in (0.25, 0.1, 0.05, 0.02, 0.01)] == [1, 3, 4, 5, 6]
    assert theory.pass_at_k(0.25, 3, 2) == pytest.approx(1 - 0.375**3)
    assert theory.mixture_entropy(50, 2, 0.0).sequence == pytest.approx(math.log(2))
    assert theory.sequence_mean_p_cot(50, 0.25) == pytest.approx(0.0129, abs=1e-4)


@pytest.mark.parametrize("K", [2, 3, 4, 7, 100])
def test_at_the_threshold_greedy_is_short_and_goes_on_with_probability_one_half(K):
    p = theory.threshold(K)
    assert theory.go_on_probability(p, K) == pytest.approx(0.5)
    assert theory.greedy(p, K) == "short"
    assert theory.greedy(math.nextafter(p, 1), K) == "long"
    assert theory.star_rounds_to_flip(p, K) == 1


@settings(deadline=None)
@given(p=share, K=modulus, t=temperature)
def test_everything_is_a_probability_and_adds_up(p, K, t):
    shares = theory.response_shares(p, K, temperature=t)
    assert min(shares.long, shares.agree, shares.differ) >= 0
    assert shares.long + shares.agree + (K - 1) * shares.differ == pytest.approx(1)
    assert theory.pass_at_k(p, 1, K, temperature=t) == pytest.approx(theory.sampled_accuracy(p, K, t))
    assert theory.dead_group_probability(p, 1, K, temperature=t) == pytest.approx(1)
    assert 1 / K - 1e-12 <= theory.sampled_accuracy(p, K, t) <= 1


@settings(deadline=None)
@given(p=share, other=share, K=modulus, t=temperature)
def test_more_long_demonstrations_never_hurt(p, other, K, t):
    low, high = sorted((p, other))
    tiny = 1e-12
    assert theory.go_on_probability(low, K) <= theory.go_on_probability(high, K) + tiny
    assert theory.sampled_long_share(low, K, t) <= theory.sampled_long_share(high, K, t) + tiny
    assert theory.sampled_accuracy(low, K, t) <= theory.sampled_accuracy(high, K, t) + tiny
    assert theory.pass_at_k(low, 4, K) <= theory.pass_at_k(high, 4, K) + tiny
    assert theory.star_next_share(low, K) <= theory.star_next_share(high, K) + tiny
    assert theory.greedy_accuracy(low, K) <= theory.greedy_accuracy(high, K)


@settings(deadline=None)
@given(p=share, K=modulus)
def test_length_calibration_and_limits_of_temperature(p, K):
    assert theory.sampled_long_share(p, K) == pytest.approx(p)
    cold = theory.sampled_long_share(p, K, 1e-4)
    if abs(p - theory.threshold(K)) > 0.01:
        assert cold == pytest.approx(float(theory.greedy(p, K) == "long"), abs=1e-6)
    if 1e-3 < p < 1 - 1e-3:
        assert theory.sampled_long_share(p, K, 1e7) == pytest.approx(1 / (2 * K), rel=1e-4)


@pytest.mark.parametrize("K", [2, 3, 1000])
@pytest.mark.parametrize("t", [1e-3, 1.0, 1e3])
def test_the_ends(K, t):
    none, all_long = theory.predictions(50, K, 0.0, t), theory.predictions(50, K, 1.0, t)
    assert (none["greedy"], none["sampled_long_share"], none["star_next_share"]) == ("short", 0, 0)
    assert none["star_rounds_to_flip"] is None
    assert set(none["posttrain"].values()) == {None}
    assert none["sampled_accuracy"] == pytest.approx(1 / K)
    assert (all_long["greedy"], all_long["sampled_long_share"], all_long["star_rounds_to_flip"]) == ("long", 1, 0)
    assert all_long["sampled_accuracy"] == all_long["star_next_share"] == 1
    assert theory.star_share_after(1e-9, 10_000, K) == 1


def test_predictions_are_one_consistent_json_table():
    table = theory.predictions(d=50, modulus=2, p_cot=0.25)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert table == {
        "threshold": pytest.approx(1 / 3),
        "greedy": "short",
        "greedy_accuracy": 0.5,
        "greedy_length_median": 1,
        "sampled_accuracy": pytest.approx(0.625),
        "sampled_long_share": pytest.approx(0.25),
        "star_next_share": pytest.approx(0.4),
        "star_rounds_to_flip": 1,
        "posttrain": {
            "greedy_accuracy": 1,
            "greedy_length_median": 50,
            "sampled_accuracy": 1,
            "sampled_long_share": 1,
        },
    }
    hot = theory.predictions(50, 2, 0.25, temperature=1.5)
    assert hot["greedy"] == "short"
    assert hot["sampled_long_share"] == theory.sampled_long_share(0.25, 2, 1.5)
    kept = kept_by_star(BlindLearner.fit(mixture(3, 2, 0.25)), 3, 2, 1.5)
    assert hot["star_next_share"] == pytest.approx(long_share(kept))


# --- bad input


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: theory.threshold(1), "modulus"),
        (lambda: theory.go_on_probability(1.2, 2), "p_cot"),
        (lambda: theory.greedy(math.nan, 2), "p_cot"),
        (lambda: theory.sampled_accuracy(0.2, 2, 0.0), "temperature"),
        (lambda: theory.star_rounds_to_flip(0.2, 2, temperature=math.inf), "temperature"),
        (lambda: theory.predictions(1, 2, 0.2), "d is 1"),
        (lambda: theory.mixture_entropy(1, 2, 0.2), "d is 1"),
        (lambda: theory.pass_at_k(0.2, 0, 2), "k is 0"),
        (lambda: theory.dead_group_probability(0.2, 0, 2), "group_size"),
        (lambda: theory.star_share_after(0.2, -1, 2), "rounds"),
        (lambda: theory.star_next_share(0.2, 2, q=-1), "q is"),
        (lambda: theory.star_next_share(0.2, 2, reward="process"), "reward"),  # pyright: ignore[reportArgumentType]
        (lambda: theory.star_next_share(1.0, 2, q=0.0), "keeps nothing"),
    ],
)
def test_bad_input_is_named_in_one_line(call, named):
    with pytest.raises(ValueError, match=named) as error:
        call()
    assert "\n" not in str(error.value)


def test_theory_needs_no_torch():
    code = "import sys, chainlift.theory.closed_forms; print(sorted({'torch', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
