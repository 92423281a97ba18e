"""Composition of permutations: the arrangement of n objects that change places d times.

Prompt x_1..x_d, permutations uniform in S_n, one token each, written as the images of 1..n. Long form: y_1..y_d <eos>
with y_l = x_l after .. after x_1. Short form: y_d <eos>. S_3 is solvable and S_5 is not: the word problem of S_5 is
complete for NC1 under AC0 reductions (Barrington 1989). So a transformer of constant depth is not expected to find a
shortcut to y_d for every d (Liu et al. 2023, arXiv 2210.10749). The options of chains are those of prefix_chain.py.
"""

from __future__ import annotations

from itertools import permutations
from typing import Literal

import torch
from torch import Tensor

from chainlift.tasks.prefix_chain import PrefixChain, PrefixChainSettings
from chainlift.tasks.registry import TASKS, TaskKind


class PermutationSettings(PrefixChainSettings):
    """Settings of permutation: the group."""

    name: Literal["permutation"] = "permutation"
    degree: Literal[3, 5] = 3
    """n, the number of permuted objects; S_3 has 6 elements, S_5 has 120."""


class Permutation(PrefixChain):
    """The group S_n under composition."""

    def __init__(self, settings: PermutationSettings) -> None:
        elements = list(permutations(range(settings.degree)))  # sorted, so the identity comes first
        super().__init__(settings, tuple("".join(str(image + 1) for image in element) for element in elements))
        self.settings = settings
        images = torch.tensor(elements)
        places = settings.degree ** torch.arange(settings.degree)
        number = torch.zeros(int(settings.degree**settings.degree), dtype=torch.long)
        number[images @ places] = torch.arange(len(elements))
        # [a, b]: first a, then b, which takes i to b(a(i)).
        self.product = number[images[:, images].movedim(0, 1) @ places]
        self.inverse = (self.product == 0).int().argmax(dim=1)

    def running(self, elements: Tensor) -> Tensor:
        """Running products (N, S)."""
        columns = [elements[:, 0]]
        for column in elements.unbind(dim=1)[1:]:
            columns.append(self.times(columns[-1], column))
        return torch.stack(columns, dim=1)

    def times(self, before: Tensor, element: Tensor) -> Tensor:
        """The composition: first `before`, then `element`."""
        size = self.num_elements
        return self.product.to(before.device).flatten().take(before * size + element)

    def between(self, before: Tensor, after: Tensor) -> Tensor:
        """The permutation that composes with `before` to `after`."""
        return self.times(self.inverse.to(before.device).take(before), after)


TASKS.register("permutation", TaskKind(PermutationSettings, Permutation), shipped=True)
