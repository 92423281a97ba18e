"""STaR's recursion against rounds that are played: responses enumerated, the right ones kept, the learner refitted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainlift.theory import closed_forms as theory
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

modulus = st.integers(2, 60)


@pytest.mark.parametrize(("d", "K"), SIZES)
@pytest.mark.parametrize("p", [0.02, 0.19, 0.6, 1.0])
def test_star_keeps_the_mixture_at_the_next_share(d, K, p):
    kept = kept_by_star(BlindLearner.fit(mixture(d, K, p)), d, K)
    following = theory.star_next_share(p, K)
    expected = mixture(d, K, following)
    assert set(kept) == set(expected)
    assert all(kept[key] == pytest.approx(expected[key]) for key in kept)
    assert theory.star_share_after(p, 1, K) == pytest.approx(following)


@pytest.mark.parametrize("t", TEMPERATURES)
@pytest.mark.parametrize(("d", "K"), [(2, 2), (3, 2), (2, 3), (2, 5)])
@pytest.mark.parametrize("p", [0.01, 0.04, 0.1, 0.15, 0.25, 0.5])
def test_star_rounds_by_playing_them(d, K, p, t):
    learner = BlindLearner.fit(mixture(d, K, p))
    rounds = 0
    while not is_long(learner.greedy((1,) * d)) and rounds < 40:
        kept = kept_by_star(learner, d, K, t)
        if rounds == 0:
            assert theory.star_next_share(theory.sampled_long_share(p, K, t), K) == pytest.approx(long_share(kept))
        learner, rounds = BlindLearner.fit(kept), rounds + 1
        if t == 1:
            assert theory.star_share_after(p, rounds, K) == pytest.approx(long_share(kept))
        if long_share(kept) < 1e-30:
            break  # it has died out
    flipped = is_long(learner.greedy((1,) * d))
    assert theory.star_rounds_to_flip(p, K, temperature=t) == (rounds if flipped else None)


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
    assert theory.star_next_share(p, K, q=q) == pytest.approx(normalised(kept["chain"])[True])
    assert theory.star_next_share(p, K, q=q, reward="end_to_end") == pytest.approx(normalised(kept["end_to_end"])[True])


@pytest.mark.parametrize(("K", "n"), [(2, 1), (2, 3), (3, 2), (5, 4)])
def test_a_tie_after_some_rounds_takes_one_more(K, n):
    p = 1 / (1 + K ** (n + 1))  # Kp / (1 - p) = K^-n
    assert theory.star_share_after(p, n, K) == pytest.approx(theory.threshold(K))
    assert theory.star_rounds_to_flip(p, K) == n + 1


def test_star_at_low_temperature_dies_out_below_its_fixed_point():
    assert theory.star_rounds_to_flip(1 / 17, 2, temperature=0.75) is None
    assert theory.star_rounds_to_flip(1 / 17 - 0.001, 2, temperature=0.75) is None
    rounds = theory.star_rounds_to_flip(1 / 17 + 0.001, 2, temperature=0.75)
    assert rounds is not None
    assert rounds > 5


@settings(deadline=None)
@given(p=st.floats(1e-12, 1), K=modulus)
def test_star_rounds_match_the_recursion(p, K):
    rounds = theory.star_rounds_to_flip(p, K)
    assert rounds is not None
    slack = 1e-6  # a tie may fall to either side by rounding
    assert theory.star_share_after(p, rounds, K) > theory.threshold(K) * (1 - slack)
    if rounds:
        assert theory.star_share_after(p, rounds - 1, K) <= theory.threshold(K) * (1 + slack)


@settings(deadline=None)
@given(p=st.floats(1e-6, 1 - 1e-6), K=modulus, q=st.floats(0, 1))
def test_the_chain_reward_lengthens_iff_chains_beat_a_guess(p, K, q):
    if abs(q - 1 / K) > 1e-6:
        assert (theory.star_next_share(p, K, q=q) > p) == (q > 1 / K)
    assert theory.star_next_share(p, K, q=q, reward="end_to_end") >= p - 1e-12
