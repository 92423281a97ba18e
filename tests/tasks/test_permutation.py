"""Permutations against composition done one by one."""

import itertools

import pytest
import torch

from chainlift.seeding import stream
from chainlift.tasks.permutation import Permutation, PermutationSettings


@pytest.mark.parametrize("degree", [3, 5])
def test_the_tables_are_those_of_the_group(degree: int) -> None:
    task = Permutation(PermutationSettings(d=3, degree=degree))  # pyright: ignore[reportArgumentType]
    elements = list(itertools.permutations(range(degree)))
    assert task.vocabulary.tokens[:-1] == tuple("".join(str(i + 1) for i in e) for e in elements)
    generator = stream(0, "pairs")
    pairs = torch.randint(len(elements), (300, 2), generator=generator).tolist()
    for a, b in pairs:
        composed = tuple(elements[b][elements[a][i]] for i in range(degree))
        assert int(task.times(torch.tensor(a), torch.tensor(b))) == elements.index(composed)
    everything = torch.arange(len(elements))
    assert (task.times(everything, task.inverse[everything]) == 0).all()
    for a in everything[:7]:
        assert torch.equal(
            task.times(a.expand(len(elements)), task.between(a.expand(len(elements)), everything)), everything
        )


def test_hand_computed() -> None:
    task = Permutation(PermutationSettings(d=3))
    prompt = task.vocabulary.encode("213 132 213")[None]  # swap the first two, then the last two, then the first two
    assert task.vocabulary.decode(task.gold(prompt, long=True)[0]) == "213 312 321 <eos>"
    assert task.vocabulary.decode(task.gold(prompt, long=False)[0]) == "321 <eos>"


def test_the_order_of_the_factors_matters() -> None:
    left, right = (Permutation(PermutationSettings(d=2, order=order)) for order in ("left_to_right", "right_to_left"))
    prompt = left.vocabulary.encode("213 132")[None]
    assert left.vocabulary.decode(left.gold(prompt, long=False)[0]) == "312 <eos>"
    assert right.vocabulary.decode(right.gold(prompt, long=False)[0]) == "231 <eos>"
