"""KL of a policy that always answers long against the base: the sum over all responses of the mixture, enumerated."""

import itertools
import math

import pytest

from chainlift.theory.closed_forms import first_token_probability, go_on_probability
from chainlift.theory.reweighting import mode_kl


@pytest.mark.parametrize("modulus", [2, 3, 5])
@pytest.mark.parametrize("p", [0.05, 0.25, 1 / 3, 0.9, 1.0])
def test_both_parts_add_up_to_log_one_over_p(p: float, modulus: int) -> None:
    first, second = mode_kl(p, modulus)
    assert first >= 0
    assert second >= 0
    assert first + second == pytest.approx(math.log(1 / p), abs=1e-12)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.6])
def test_it_is_the_divergence_of_whole_responses(p: float) -> None:
    """d = 3, parity: base probabilities of every response to a prompt, and a policy that puts all on the chain."""
    for prompt in itertools.product((0, 1), repeat=3):
        chain = tuple(itertools.accumulate(prompt, lambda a, b: (a + b) % 2))
        base = {chain: p, (0,): (1 - p) / 2, (1,): (1 - p) / 2}
        policy = {chain: 1.0}
        kl = sum(q * math.log(q / base[response]) for response, q in policy.items())
        assert sum(mode_kl(p, 2)) == pytest.approx(kl)
        first = sum(q for response, q in base.items() if response[0] == chain[0])
        assert first == pytest.approx(first_token_probability(p, 2))
        assert base[chain] / first == pytest.approx(go_on_probability(p, 2))


def test_without_long_responses_it_is_infinite() -> None:
    assert mode_kl(0.0, 2)[1] == math.inf
    with pytest.raises(ValueError, match="p"):
        mode_kl(1.2, 2)
