"""STaR in closed form, against rounds that are played: all responses enumerated, kept, fitted by counting."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlift.theory import closed_forms, star
from tests.theory.blind_learner import (
    SIZES,
    TEMPERATURES,
    BlindLearner,
    is_long,
    kept_by_star,
    long_share,
    mixture,
    normalised,
    prompts,
)

share = st.floats(0, 1)
modulus = st.integers(2, 60)


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("p", [0.02, 0.19, 0.6, 1.0])
def test_star_keeps_the_mixture_at_the_next_share(d, K, p):
    kept = kept_by_star(BlindLearner.fit(mixture(d, K, p)), d, K)
    following = star.star_next_share(p, K)
    expected = mixture(d, K, following)
    assert set(kept) == set(expected)
    assert all(kept[key] == pytest.approx(expected[key]) for key in kept)
    assert star.star_share_after(p, 1, K) == pytest.approx(following)


@pytest.mark.parametrize("t", TEMPERATURES)
@pytest.mark.parametrize(("d", "K"), [(2, 2), (3, 2), (2, 3), (2, 5)])
@pytest.mark.parametrize("p", [0.01, 0.04, 0.1, 0.15, 0.25, 0.5])
def test_star_rounds_by_playing_them(d, K, p, t):
    learner = BlindLearner.fit(mixture(d, K, p))
    rounds = 0
    while not is_long(learner.greedy((1,) * d)) and rounds < 40:
        kept = kept_by_star(learner, d, K, t)
        if rounds == 0:
            assert star.star_next_share(closed_forms.sampled_long_share(p, K, t), K) == pytest.approx(long_share(kept))
        learner, rounds = BlindLearner.fit(kept), rounds + 1
        if t == 1:
            assert star.star_share_after(p, rounds, K) == pytest.approx(long_share(kept))
        if long_share(kept) < 1e-30:
            break  # it has died out
    flipped = is_long(learner.greedy((1,) * d))
    assert star.star_rounds_to_flip(p, K, temperature=t) == (rounds if flipped else None)


@pytest.mark.parametrize("K", [2, 3, 5])
@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_star_with_wrong_chains(K, q):
    d, p = 3, 0.2
    kept: dict[str, dict[bool, float]] = {reward: {True: 0.0, False: 0.0} for reward in ("chain", "end_to_end")}
    for x in prompts(d, K):
        for answer in range(K):
            hit = answer == sum(x) % K
            kept["chain"][False] += hit * (1 - p) / K
            kept["end_to_end"][False] += hit * (1 - p) / K
            kept["end_to_end"][True] += hit * p * (1 - q) / K  # derailed; its last token is any of K symbols
        kept["chain"][True] += p * q
        kept["end_to_end"][True] += p * q
    assert star.star_next_share(p, K, q=q) == pytest.approx(normalised(kept["chain"])[True])
    assert star.star_next_share(p, K, q=q, reward="end_to_end") == pytest.approx(normalised(kept["end_to_end"])[True])


@pytest.mark.parametrize(("K", "n"), [(2, 1), (2, 3), (3, 2), (5, 4)])
def test_a_tie_after_some_rounds_takes_one_more(K, n):
    p = 1 / (1 + K ** (n + 1))  # Kp / (1 - p) = K^-n
    assert star.star_share_after(p, n, K) == pytest.approx(closed_forms.threshold(K))
    assert star.star_rounds_to_flip(p, K) == n + 1


def test_star_at_low_temperature_dies_out_below_its_fixed_point():
    assert star.star_rounds_to_flip(1 / 17, 2, temperature=0.75) is None
    assert star.star_rounds_to_flip(1 / 17 - 0.001, 2, temperature=0.75) is None
    rounds = star.star_rounds_to_flip(1 / 17 + 0.001, 2, temperature=0.75)
    assert rounds is not None
    assert rounds > 5


@settings(deadline=None)
@given(p=st.floats(1e-12, 1), K=modulus)
def test_star_rounds_match_the_recursion(p, K):
    rounds = star.star_rounds_to_flip(p, K)
    assert rounds is not None
    slack = 1e-6  # a tie may fall to either side by rounding
    assert star.star_share_after(p, rounds, K) > closed_forms.threshold(K) * (1 - slack)
    if rounds:
        assert star.star_share_after(p, rounds - 1, K) <= closed_forms.threshold(K) * (1 + slack)


@settings(deadline=None)
@given(p=st.floats(1e-6, 1 - 1e-6), K=modulus, q=share)
def test_the_chain_reward_lengthens_iff_chains_beat_a_guess(p, K, q):
    if abs(q - 1 / K) > 1e-6:
        assert (star.star_next_share(p, K, q=q) > p) == (q > 1 / K)
    assert star.star_next_share(p, K, q=q, reward="end_to_end") >= p - 1e-12


@pytest.mark.parametrize("K", [2, 3, 5])
@pytest.mark.parametrize("marker", [False, True])
@pytest.mark.parametrize("p", [0.004, 0.12, 0.3, 0.45])
def test_rounds_to_flip_with_and_without_a_marker(K, marker, p):
    d, rounds = 2, 0
    learner = BlindLearner.fit(mixture(d, K, p, marker))
    while not is_long(learner.greedy((1,) * d)):
        learner, rounds = BlindLearner.fit(kept_by_star(learner, d, K)), rounds + 1
    assert star.star_rounds_to_flip(p, K, marker=marker) == rounds


@pytest.mark.parametrize("t", TEMPERATURES)
@pytest.mark.parametrize("s", TEMPERATURES)
@pytest.mark.parametrize(("K", "q"), [(2, 1.0), (2, 0.7), (2, 0.45), (3, 0.9), (5, 0.15)])
def test_rounds_to_flip_by_fitting_at_another_temperature(K, q, t, s):
    """Probabilities are walked here, not log-odds: temper, keep, fit the tempered distribution, untemper."""
    for p in (0.01, 0.09, 0.15):
        go_on, rounds = closed_forms.go_on_probability(p, K), 0
        while go_on <= 0.5 and rounds < 60:
            tempered = normalised({"long": go_on ** (1 / t), "short": (1 - go_on) ** (1 / t)})
            kept = normalised({"long": tempered["long"] * q, "short": tempered["short"] / K})
            go_on, rounds = normalised({"long": kept["long"] ** s, "short": kept["short"] ** s})["long"], rounds + 1
        expected = rounds if go_on > 0.5 else None
        assert star.star_rounds_to_flip(p, K, temperature=t, fit_temperature=s, q=q) == expected


@settings(deadline=None)
@given(p=st.floats(1e-9, 1 - 1e-9), target=st.floats(0, 1 - 1e-6), K=st.integers(2, 60), q=st.floats(0, 1))
def test_rounds_to_a_share_match_the_recursion(p, target, K, q):
    rounds = star.star_rounds_to_share(p, target, K, q=q)
    slack = 1e-6
    if rounds is None:
        assert star.star_share_after(p, 1000, K, q=q) <= max(p, target) * (1 + slack)
        return
    if rounds < 10_000:  # a growth of hardly more than 1
        assert star.star_share_after(p, rounds, K, q=q) >= target * (1 - slack)
    if rounds:
        assert star.star_share_after(p, rounds - 1, K, q=q) <= target * (1 + slack)


@pytest.mark.parametrize(("q", "reward"), [(0.3, "chain"), (0.9, "chain"), (0.3, "end_to_end"), (0.0, "chain")])
def test_the_share_after_some_rounds_is_the_round_repeated(q, reward):
    share = 0.2
    for rounds in range(6):
        assert star.star_share_after(0.2, rounds, 3, q=q, reward=reward) == pytest.approx(share)
        share = star.star_next_share(share, 3, q=q, reward=reward)


def test_known_numbers_of_rounds():
    assert star.star_rounds_to_share(0.25, 0.99, 2) == 9  # odds 1/3 * 2^n >= 99
    assert star.star_rounds_to_share(0.25, 0.4, 2) == 1
    assert star.star_rounds_to_share(0.0, 0.4, 2) is None
    assert star.star_rounds_to_share(0.25, 0.4, 2, q=0.5) is None
    assert star.star_rounds_to_flip(0.01, 2, temperature=0.75) is None
    assert star.star_rounds_to_flip(0.01, 2, temperature=0.75, fit_temperature=0.75) == 8
    assert star.star_rounds_to_flip(0.25, 2, q=0.5) is None
    assert star.star_rounds_to_flip(0.25, 2, q=0.6, reward="end_to_end") == 1
    assert star.star_rounds_to_flip(0.25, 2, q=0.0) is None
