"""Chains of running products in a finite group, with options that change prompts and chains.

Prompt x_1..x_d, elements drawn uniformly from a group with M elements. Long form: y_1..y_L <eos>, where y_l is the
product of the first l elements that count. Short form: y_L <eos>. Without options all elements count, in their order,
so L = d and y_1 = x_1. Sums modulo K (running_sum.py) and permutations (permutation.py) are such groups.

Only demonstrations have noise; gold responses are always right. A slip replaces a token of a chain by one of the M - 1
others, all equally likely. With `noise_follows` later tokens build on the slip; without it they are the gold chain's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import pad

from chainlift.seeding import stream
from chainlift.settings import Settings
from chainlift.tasks.base import EOS, Verdict, Vocabulary, response_lengths

LONG, SHORT, PAD = ">", "=", "_"
OPTIONS = ("d_min", "sparse", "leap", "noise", "marker", "order")


class PrefixChainSettings(Settings):
    """Settings of prefix-chain tasks: the length of prompts and the form of chains."""

    d: int = Field(default=50, ge=2, le=4096)
    """Number of elements in a prompt, and of steps in a full chain."""
    d_min: int | None = Field(default=None, ge=2)
    """Prompts have d_min to d elements, uniformly, padded with `_` on the left; null: all have d."""
    sparse: int | None = Field(default=None, ge=2)
    """Number k of elements that count, a hidden subset; null: all do."""
    subset: int = Field(default=0, ge=0)
    """Seed of the hidden subset."""
    leap: int = Field(default=1, ge=1)
    """Chains show only every leap-th step, and the last one."""
    noise: float = Field(default=0.0, ge=0, le=1, strict=False)
    """Probability that a step of a demonstrated chain is wrong."""
    noise_follows: bool = Field(default=True)
    """Whether the rest of a demonstrated chain builds on a wrong step."""
    marker: Literal["none", "long", "both"] = Field(default="none")
    """Forms that begin with a marker token: `>` for the long form, `=` for the short form."""
    order: Literal["left_to_right", "right_to_left"] = Field(default="left_to_right")
    """Order in which chains read the prompt."""

    @property
    def counting(self) -> int:
        """Number of elements that count in the longest prompt."""
        return self.sparse or self.d

    @property
    def chain_length(self) -> int:
        """Steps of the longest chain."""
        return -(-self.counting // self.leap)

    @property
    def is_plain(self) -> bool:
        """Whether no option is set: a chain has one step for each digit, and nothing else."""
        fields = type(self).model_fields
        return all(getattr(self, key) == fields[key].default for key in OPTIONS)

    @model_validator(mode="after")
    def _options_fit(self) -> PrefixChainSettings:
        if self.d_min is not None and self.d_min > self.d:
            raise ValueError(f"d_min {self.d_min} must not exceed d {self.d}")
        if self.sparse is not None and self.sparse > self.d:
            raise ValueError(
                f"sparse {self.sparse} must not exceed d {self.d}: no more elements can count than there are"
            )
        if self.sparse is not None and self.d_min is not None:
            raise ValueError("sparse and d_min exclude each other: the hidden subset is one of fixed positions")
        shortest = self.d_min or self.counting
        if self.leap >= shortest:
            raise ValueError(
                f"leap {self.leap} must be below {shortest}, the number of elements that count: "
                "a chain with one step is a short answer"
            )
        return self


class PrefixChain(ABC):
    """A task of running products; a subclass defines the group."""

    def __init__(self, settings: PrefixChainSettings, elements: tuple[str, ...]) -> None:
        self.options = settings
        self.num_elements = len(elements)
        extra = [PAD] if settings.d_min is not None else []
        extra += {"none": [], "long": [LONG], "both": [LONG, SHORT]}[settings.marker]
        self.vocabulary = Vocabulary((*elements, *extra, EOS))
        self.prompt_length = settings.d
        self.short_length = 1 + (settings.marker == "both")
        self.long_length = settings.chain_length + (settings.marker != "none")
        self.chance = 1 / self.num_elements
        self.padding = self.vocabulary.tokens.index(PAD) if settings.d_min is not None else None
        self._subset: Tensor | None = None
        if settings.sparse is not None:
            order = torch.randperm(settings.d, generator=stream(settings.subset, "task/subset"))
            self._subset = order[: settings.sparse].sort().values

    @abstractmethod
    def running(self, elements: Tensor) -> Tensor:
        """Running products (N, S) of elements (N, S); element 0 is the identity of the group."""

    @abstractmethod
    def times(self, before: Tensor, element: Tensor) -> Tensor:
        """The product of `before` and `element`, in this order; any shape."""

    @abstractmethod
    def between(self, before: Tensor, after: Tensor) -> Tensor:
        """The element whose product with `before` is `after`; any shape."""

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw prompts (n, d) of independent uniform elements."""
        prompts = torch.randint(self.num_elements, (n, self.prompt_length), generator=generator)
        shortest = self.options.d_min
        if shortest is None:
            return prompts
        counts = torch.randint(shortest, self.prompt_length + 1, (n, 1), generator=generator)
        is_padding = torch.arange(self.prompt_length) < self.prompt_length - counts
        return prompts.masked_fill(is_padding, self.padding or 0)

    def prompt_counts(self) -> tuple[tuple[float, int], ...]:
        """A group for each length, of all sequences of elements.

        Prompts that differ only in elements that do not count are different prompts.
        """
        lengths = range(self.options.d_min or self.prompt_length, self.prompt_length + 1)
        return tuple((1 / len(lengths), self.num_elements**length) for length in lengths)

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The chain, or the answer alone, after its marker if the form has one, and EOS."""
        chain, lengths = self._chain(prompts)
        if long:
            return self._responses(chain, lengths, LONG)
        return self._responses(self._last(chain, lengths), torch.ones_like(lengths), SHORT)

    def demonstrate(self, prompts: Tensor, generator: torch.Generator, *, long: bool) -> Tensor:
        """Gold responses, with slips in the chains if there is noise."""
        if not long or self.options.noise == 0:
            return self.gold(prompts, long=long)
        chain, lengths = self._chain(prompts)
        slips = torch.randint(1, self.num_elements, chain.shape, generator=generator)
        slips = slips * (torch.rand(chain.shape, generator=generator) < self.options.noise)
        if self.options.noise_follows:
            blocks = self.between(pad(chain[:, :-1], (1, 0)), chain)
            chain = self.running(torch.stack([blocks, slips], dim=2).flatten(1))[:, 1::2]
        else:
            chain = self.times(chain, slips)
        return self._responses(chain, lengths, LONG)

    def resume(self, prompts: Tensor, responses: Tensor, at: Tensor) -> Tensor:
        """Responses (N, R) unchanged up to token number `at` (N,), followed by a right chain that builds on it."""
        chain, lengths = self._chain(prompts)
        step = (at - int(self.options.marker != "none")).clamp(0, chain.shape[1] - 1)[:, None]
        token = responses.gather(1, at[:, None]).clamp(max=self.num_elements - 1)
        since = self.between(chain.gather(1, step).expand_as(chain), chain)
        resumed = self._responses(self.times(token.expand_as(chain), since), lengths, LONG)
        return responses.where(torch.arange(responses.shape[1], device=at.device) <= at[:, None], resumed)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """The exact verdict; the answer is the last token before EOS."""
        chain, lengths = self._chain(prompts)
        length, finished = response_lengths(responses, self.vocabulary.eos)
        last = responses.gather(1, (length - 1).clamp(min=0)[:, None])
        answer = finished & (length > 0) & (last == self._last(chain, lengths))[:, 0]
        has_marker = self._has_marker(responses)
        long = length > self.short_length

        body = responses[:, int(self.options.marker != "none") :]
        body_length = length - int(self.options.marker != "none")
        width = min(body.shape[1], chain.shape[1])
        position = torch.arange(width, device=responses.device)
        is_inside = position < body_length[:, None]
        matches = ((body[:, :width] == chain[:, :width]) | ~is_inside).all(dim=1)
        exact = finished & long & has_marker[LONG] & (body_length == lengths) & matches
        short = answer & (length == self.short_length) & has_marker[SHORT]

        previous = pad(body[:, : max(width - 1, 0)], (1, 0))[:, :width]
        blocks = self.between(pad(chain[:, :-1], (1, 0)), chain)
        valid = (previous < self.num_elements) & (body[:, :width] < self.num_elements)
        follows = self.times(previous.where(valid, 0), blocks[:, :width]) == body[:, :width]
        is_step = is_inside & (long & has_marker[LONG])[:, None] & (position < lengths[:, None])
        return Verdict(
            answer_correct=answer,
            chain_correct=exact | short,
            finished=finished,
            long=long,
            length=length,
            steps=is_step.sum(dim=1),
            steps_right=(follows & valid & is_step).sum(dim=1),
        )

    def _chain(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Gold chains (N, L) and their lengths (N,); after its end a chain repeats its last token."""
        options = self.options
        elements, counts = self._counted_elements(prompts)
        running = self.running(elements)
        if options.leap == 1:
            return running, counts
        steps = torch.arange(1, options.chain_length + 1, device=prompts.device)
        ends = torch.minimum(steps * options.leap, counts[:, None])
        return running.gather(1, ends - 1), -(-counts // options.leap)

    def _counted_elements(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """The elements that count (N, S), in the chain's order and padded with identities, and their number (N,)."""
        n, d = prompts.shape
        counts = torch.full((n,), self.options.counting, device=prompts.device)
        is_backwards = self.options.order == "right_to_left"
        if self._subset is not None:
            prompts = prompts[:, self._subset.to(prompts.device)]
        if self.options.d_min is None:
            return prompts.flip(1) if is_backwards else prompts, counts
        counts = (prompts < self.num_elements).sum(dim=1)
        if is_backwards:
            ordered = prompts.flip(1)
        else:
            ordered = prompts.gather(1, (torch.arange(d, device=prompts.device) + d - counts[:, None]).clamp(max=d - 1))
        return ordered.masked_fill(torch.arange(d, device=prompts.device) >= counts[:, None], 0), counts

    def _last(self, chain: Tensor, lengths: Tensor) -> Tensor:
        """The answers (N, 1): the last steps of chains (N, L) of the `lengths` (N,)."""
        return chain.gather(1, lengths[:, None] - 1)

    def _responses(self, body: Tensor, lengths: Tensor, marker: str) -> Tensor:
        """Responses (N, R): the form's marker if it has one, the first `lengths` (N,) tokens of the body, and EOS."""
        eos = self.vocabulary.eos
        responses = pad(body, (0, 1), value=eos)
        if self.options.d_min is not None:
            beyond = torch.arange(responses.shape[1], device=body.device) >= lengths[:, None]
            responses = responses.masked_fill(beyond, eos)
        if marker in self.vocabulary.tokens:
            responses = pad(responses, (1, 0), value=self.vocabulary.tokens.index(marker))
        return responses

    def _has_marker(self, responses: Tensor) -> dict[str, Tensor]:
        """{marker: bool (N,)}: whether responses (N, R) begin with it, or with an element if the form has no marker."""
        first, tokens = responses[:, 0], self.vocabulary.tokens
        return {
            marker: first == tokens.index(marker) if marker in tokens else first < self.num_elements
            for marker in (LONG, SHORT)
        }
