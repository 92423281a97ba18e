"""Chains of running products in a finite group, and what may be changed about them.

Prompt x_1..x_d, elements of a group with M elements, uniform. Long form: y_1..y_L <eos> with y_l the product of the
first l elements that count; short form: y_L <eos>. With no option set, all elements count, in their order, so that
L = d and y_1 is x_1 itself. Sums modulo K (running_sum.py) and permutations (permutation.py) are such groups.

Noise is the demonstrations' only: gold responses are always right. A slip turns a chain's token into one of the M - 1
others, each as likely. If the chain follows, later tokens build on the slip; if not, they are those of the gold chain.
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
    """The length of prompts and the form of chains."""

    d: int = Field(default=50, ge=2, le=4096)
    """Number of elements in the prompt, and of steps in a full chain."""
    d_min: int | None = Field(default=None, ge=2)
    """Prompts have d_min..d elements, uniformly, filled up with `_` on the left; null: all have d."""
    sparse: int | None = Field(default=None, ge=2)
    """Number k of elements that count, a hidden subset; null: all do."""
    subset: int = Field(default=0, ge=0)
    """Seed of the hidden subset."""
    leap: int = Field(default=1, ge=1)
    """Chains show every leap-th step only, and the last."""
    noise: float = Field(default=0.0, ge=0, le=1, strict=False)
    """Probability that a step of a demonstrated chain is wrong."""
    noise_follows: bool = Field(default=True)
    """Whether the rest of a demonstrated chain builds on a wrong step."""
    marker: Literal["none", "long", "both"] = Field(default="none")
    """Which forms open with a token of their own: `>` a long one, `=` a short one."""
    order: Literal["left_to_right", "right_to_left"] = Field(default="left_to_right")
    """Where chains begin."""

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
        """No option is set: each digit has its step, and nothing else is in a response."""
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
    """A task of running products; a subclass brings the group."""

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
        """Running products (N, S) of elements (N, S); element 0 is the group's identity."""

    @abstractmethod
    def times(self, before: Tensor, element: Tensor) -> Tensor:
        """The product of `before` and `element`, in this order."""

    @abstractmethod
    def between(self, before: Tensor, after: Tensor) -> Tensor:
        """The element that leads from `before` to `after`."""

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """Prompts (n, d) of independent uniform elements."""
        prompts = torch.randint(self.num_elements, (n, self.prompt_length), generator=generator)
        shortest = self.options.d_min
        if shortest is None:
            return prompts
        counts = torch.randint(shortest, self.prompt_length + 1, (n, 1), generator=generator)
        filled = torch.arange(self.prompt_length) < self.prompt_length - counts
        return prompts.masked_fill(filled, self.padding or 0)

    def prompt_counts(self) -> tuple[tuple[float, int], ...]:
        """All sequences of elements, by their length; those that differ where nothing counts are different prompts."""
        lengths = range(self.options.d_min or self.prompt_length, self.prompt_length + 1)
        return tuple((1 / len(lengths), self.num_elements**length) for length in lengths)

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The chain, or the answer alone, behind its marker if it has one, and EOS."""
        chain, lengths = self._chain(prompts)
        if long:
            return self._written(chain, lengths, LONG)
        return self._written(self._last(chain, lengths), torch.ones_like(lengths), SHORT)

    def demonstrate(self, prompts: Tensor, generator: torch.Generator, *, long: bool) -> Tensor:
        """Gold responses, with slips in the chains where there is noise."""
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
        return self._written(chain, lengths, LONG)

    def resume(self, prompts: Tensor, responses: Tensor, at: Tensor) -> Tensor:
        """Responses (N, R) up to token number `at` (N,), and behind it a chain that builds on that token."""
        chain, lengths = self._chain(prompts)
        step = (at - int(self.options.marker != "none")).clamp(0, chain.shape[1] - 1)[:, None]
        token = responses.gather(1, at[:, None]).clamp(max=self.num_elements - 1)
        since = self.between(chain.gather(1, step).expand_as(chain), chain)
        resumed = self._written(self.times(token.expand_as(chain), since), lengths, LONG)
        return responses.where(torch.arange(responses.shape[1], device=at.device) <= at[:, None], resumed)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """Exact and anchored by position: only the last token before EOS is the answer."""
        chain, lengths = self._chain(prompts)
        length, finished = response_lengths(responses, self.vocabulary.eos)
        last = responses.gather(1, (length - 1).clamp(min=0)[:, None])
        answer = finished & (length > 0) & (last == self._last(chain, lengths))[:, 0]
        opens = self._opens(responses)
        long = length > self.short_length

        body = responses[:, int(self.options.marker != "none") :]
        own_length = length - int(self.options.marker != "none")
        width = min(body.shape[1], chain.shape[1])
        position = torch.arange(width, device=responses.device)
        inside = position < own_length[:, None]
        matches = ((body[:, :width] == chain[:, :width]) | ~inside).all(dim=1)
        exact = finished & long & opens[LONG] & (own_length == lengths) & matches
        short = answer & (length == self.short_length) & opens[SHORT]

        previous = pad(body[:, : max(width - 1, 0)], (1, 0))[:, :width]
        blocks = self.between(pad(chain[:, :-1], (1, 0)), chain)
        valid = (previous < self.num_elements) & (body[:, :width] < self.num_elements)
        follows = self.times(previous.where(valid, 0), blocks[:, :width]) == body[:, :width]
        taken = inside & (long & opens[LONG])[:, None] & (position < lengths[:, None])
        return Verdict(
            answer=answer,
            chain=exact | short,
            finished=finished,
            long=long,
            length=length,
            steps=taken.sum(dim=1),
            steps_right=(follows & valid & taken).sum(dim=1),
        )

    def _chain(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """(gold chains (N, L), their lengths (N,)); behind a chain's end its last token is repeated."""
        options = self.options
        elements, counts = self._counting(prompts)
        running = self.running(elements)
        if options.leap == 1:
            return running, counts
        steps = torch.arange(1, options.chain_length + 1, device=prompts.device)
        ends = torch.minimum(steps * options.leap, counts[:, None])
        return running.gather(1, ends - 1), -(-counts // options.leap)

    def _counting(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """(elements that count (N, S), in the order of the chain, identities behind them; their number (N,))."""
        n, d = prompts.shape
        counts = torch.full((n,), self.options.counting, device=prompts.device)
        backwards = self.options.order == "right_to_left"
        if self._subset is not None:
            prompts = prompts[:, self._subset.to(prompts.device)]
        if self.options.d_min is None:
            return prompts.flip(1) if backwards else prompts, counts
        counts = (prompts < self.num_elements).sum(dim=1)
        if backwards:
            ordered = prompts.flip(1)
        else:
            ordered = prompts.gather(1, (torch.arange(d, device=prompts.device) + d - counts[:, None]).clamp(max=d - 1))
        return ordered.masked_fill(torch.arange(d, device=prompts.device) >= counts[:, None], 0), counts

    def _last(self, chain: Tensor, lengths: Tensor) -> Tensor:
        """The answers (N, 1)."""
        return chain.gather(1, lengths[:, None] - 1)

    def _written(self, body: Tensor, lengths: Tensor, marker: str) -> Tensor:
        """Responses: the marker that the form has, if any, `lengths` (N,) tokens of the body, and EOS."""
        eos = self.vocabulary.eos
        responses = pad(body, (0, 1), value=eos)
        if self.options.d_min is not None:
            beyond = torch.arange(responses.shape[1], device=body.device) >= lengths[:, None]
            responses = responses.masked_fill(beyond, eos)
        if marker in self.vocabulary.tokens:
            responses = pad(responses, (1, 0), value=self.vocabulary.tokens.index(marker))
        return responses

    def _opens(self, responses: Tensor) -> dict[str, Tensor]:
        """For each form (N,) bool: the response opens as that form must."""
        first, tokens = responses[:, 0], self.vocabulary.tokens
        return {
            marker: first == tokens.index(marker) if marker in tokens else first < self.num_elements
            for marker in (LONG, SHORT)
        }
