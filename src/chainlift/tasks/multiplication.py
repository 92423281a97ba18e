"""Multiplication of numbers with n and m digits, least significant digit first.

Prompt `a * b`. Long form: the partial products, joined by `+`, with the running sum in parentheses after each but the
first and the last, then `####` and the product. Digit i of b (from 0) times a, shifted by i zeros, is written with
n + 1 + i digits, and so is the running sum up to it; the product has n + m digits. Short form: the product, behind
`####` if the option says so. 3719 * 3349 is shown as

    9173*9433   17433+067841(132281)+0075111(1397921)+00075111####13945421

Format: the public data of Deng et al., "From Explicit CoT to Implicit CoT" (arXiv 2405.14838).

There are few numbers of n digits, so a share of all pairs is held out: a hash of the pair decides, the same for (a, b)
and (b, a). The task draws only pairs that are not held out, `held_out()` only those that are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from chainlift.settings import Settings
from chainlift.tasks.base import EOS, Verdict, Vocabulary, response_lengths
from chainlift.tasks.registry import TASKS, TaskKind

ANSWER = "####"
TOKENS = (*"0123456789", "*", "+", "(", ")", ANSWER, EOS)
ENUMERATED = 5  # digits of both factors: the 81,000 pairs are hashed; of more, each value below SHARES has some
SHARES = 1000  # held-out pairs are those whose hash modulo this is below held_out * this


class MultiplicationSettings(Settings):
    """The size of the factors and the form of answers."""

    name: Literal["multiplication"] = "multiplication"
    n: int = Field(default=2, ge=1, le=9)
    """Digits of the first factor."""
    m: int | None = Field(default=None, ge=1, le=9)
    """Digits of the second factor; null: as many as of the first."""
    marker: Literal["long", "both"] = "long"
    """Which forms have `####` before the answer: it ends a chain in any case."""
    held_out: float = Field(default=0.1, gt=0, lt=1, strict=False)
    """Share of the pairs that are kept from training and RL; measurements draw only them."""

    @property
    def digits(self) -> tuple[int, int]:
        """(n, m)."""
        return self.n, self.m or self.n


@dataclass(frozen=True)
class _Number:
    """Where a number stands in the long form."""

    start: int
    size: int
    kind: Literal["partial", "sum", "answer"]
    factor: int  # the digit of b, for partial products and running sums

    @property
    def columns(self) -> slice:
        return slice(self.start, self.start + self.size)


class Multiplication:
    """The multiplication task; see the module's text for its two forms."""

    def __init__(self, settings: MultiplicationSettings, *, draws_held_out: bool = False) -> None:
        self.settings, self.draws_held_out = settings, draws_held_out
        n, m = settings.digits
        self.vocabulary = Vocabulary(TOKENS)
        self.prompt_length = n + 1 + m
        self.answer_length = n + m
        self.layout, self.signs, self.long_length = _layout(n, m)
        self.short_length = self.answer_length + (settings.marker == "both")
        self.chance = 0.0  # less than one in 10^(n + m - 1)
        self._answer = TOKENS.index(ANSWER)
        self._refuse_an_empty_side()

    def held_out(self) -> Multiplication:
        """The same task on the held-out pairs."""
        return Multiplication(self.settings, draws_held_out=True)

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """Prompts (n, prompt_length) of pairs that are uniform among those that may be drawn."""
        share = self.settings.held_out if self.draws_held_out else 1 - self.settings.held_out
        found = torch.empty(0, 2, dtype=torch.long)
        while len(found) < n:
            size = int((n - len(found)) / share * 1.1) + 8
            factors = [
                torch.randint(10 ** (digits - 1), 10**digits, (size,), generator=generator)
                for digits in self.settings.digits
            ]
            pairs = torch.stack(factors, dim=1)
            found = torch.cat([found, pairs[self.is_held_out(pairs) == self.draws_held_out]])
        first, second = found[:n].unbind(dim=1)
        size_a, size_b = self.settings.digits
        times = torch.full((n, 1), TOKENS.index("*"))
        return torch.cat([_digits(first, size_a), times, _digits(second, size_b)], dim=1)

    def is_held_out(self, pairs: Tensor) -> Tensor:
        """(N,) bool of pairs (N, 2): a hash of the two numbers, whatever their order."""
        mixed = _mix(_mix(pairs.min(dim=1).values) + pairs.max(dim=1).values)
        return (mixed >> 8) % SHARES < round(self.settings.held_out * SHARES)

    def _refuse_an_empty_side(self) -> None:
        """ValueError if the hash leaves no pair to train on, or none to measure: drawing would never end."""
        if sum(self.settings.digits) <= ENUMERATED:
            ranges = [torch.arange(10 ** (digits - 1), 10**digits) for digits in self.settings.digits]
            sides = self.is_held_out(torch.cartesian_prod(*ranges))
        else:
            sides = torch.arange(SHARES) < round(self.settings.held_out * SHARES)
        if sides.all() or not sides.any():
            side = "train on" if sides.all() else "measure"
            raise ValueError(f"held_out {self.settings.held_out} leaves no pair to {side}; nearer to .5 some are left")

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The worked multiplication, or the product alone, and EOS."""
        a, b, _ = self._factors(prompts)
        product = _digits(a * b, self.answer_length)
        if not long:
            marks = (len(prompts), self.short_length - self.answer_length)
            return self._ended(torch.cat([torch.full(marks, self._answer, device=prompts.device), product], dim=1))
        response = torch.empty(len(prompts), self.long_length, dtype=torch.long, device=prompts.device)
        for column, token in self.signs.items():
            response[:, column] = token
        for number in self.layout:
            response[:, number.columns] = _digits(self._value(number, prompts), number.size)
        return self._ended(response)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """Exact: the answer is the digits after the last `####`, or the whole response where there is none.

        The steps of a chain are its numbers: partial products are judged by the prompt, running sums and the answer by
        the response's own partial product and running sum before them.
        """
        eos, size = self.vocabulary.eos, self.answer_length
        length, finished = response_lengths(responses, eos)
        columns = (length[:, None] - size + torch.arange(size, device=responses.device)).clamp(min=0)
        ends = responses.gather(1, columns.clamp(max=responses.shape[1] - 1))
        digits_right = ends == self.gold(prompts, long=False)[:, -size - 1 : -1]
        before = responses.gather(1, (length - size - 1).clamp(min=0)[:, None])[:, 0]
        marked = (length > size) & (before == self._answer)
        stands_alone = (length == size) | marked
        answer = finished & stands_alone & digits_right.all(dim=1)
        long = length > self.short_length
        padded = torch.nn.functional.pad(responses, (0, max(self.long_length + 1 - responses.shape[1], 0)), value=eos)
        exact = (padded[:, : self.long_length + 1] == self.gold(prompts, long=True)).all(dim=1)
        short = (length == self.short_length) & (marked if self.settings.marker == "both" else length == size)
        taken, right = self._steps(prompts, padded, length)
        return Verdict(
            answer=answer,
            chain=finished & exact | answer & short,
            finished=finished,
            long=long,
            length=length,
            steps=torch.where(long, taken, 0),
            steps_right=torch.where(long, right, 0),
            digits_right=digits_right & stands_alone[:, None],
        )

    def _steps(self, prompts: Tensor, padded: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """(numbers begun (N,), of which right (N,)) of responses read as long ones, filled up to their length."""
        read = [_value(padded[:, number.columns]) for number in self.layout]
        taken, right = torch.zeros_like(length), torch.zeros_like(length)
        sums = torch.zeros_like(length)  # the response's own running sum before the partial product at hand
        partial = torch.zeros_like(length)
        for number, value in zip(self.layout, read, strict=True):
            if number.kind == "partial":
                expected, partial = self._value(number, prompts), value
                if number.factor == 0:
                    sums, partial = value, torch.zeros_like(value)
            else:
                expected = sums + partial
                sums, partial = value, torch.zeros_like(value)
            begun = length > number.start
            taken += begun
            right += begun & (value == expected) & (value >= 0)
        return taken, right

    def _value(self, number: _Number, prompts: Tensor) -> Tensor:
        """The gold value (N,) of a number in the long form."""
        a, b, b_digits = self._factors(prompts)
        place = 10**number.factor
        if number.kind == "partial":
            return a * b_digits[:, number.factor] * place
        return a * b if number.kind == "answer" else a * (b % (place * 10))

    def _factors(self, prompts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(a (N,), b (N,), digits of b (N, m))."""
        n, _ = self.settings.digits
        return _value(prompts[:, :n]), _value(prompts[:, n + 1 :]), prompts[:, n + 1 :]

    def _ended(self, body: Tensor) -> Tensor:
        return torch.nn.functional.pad(body, (0, 1), value=self.vocabulary.eos)


def _layout(n: int, m: int) -> tuple[list[_Number], dict[int, int], int]:
    """(numbers, {column: token} of the signs between them, length) of the long form without its EOS."""
    numbers: list[_Number] = []
    signs: dict[int, int] = {}
    at = 0

    def put(kind: Literal["partial", "sum", "answer"], factor: int, size: int) -> None:
        nonlocal at
        numbers.append(_Number(at, size, kind, factor))
        at += size

    def sign(token: str) -> None:
        nonlocal at
        signs[at] = TOKENS.index(token)
        at += 1

    for i in range(m):
        if i > 0:
            sign("+")
        put("partial", i, n + 1 + i)
        if 0 < i < m - 1:
            sign("(")
            put("sum", i, n + 1 + i)
            sign(")")
    sign(ANSWER)
    put("answer", m - 1, n + m)
    return numbers, signs, at


def _digits(value: Tensor, size: int) -> Tensor:
    """The `size` lowest decimal digits (N, size) of value (N,), the lowest first."""
    places = 10 ** torch.arange(size, device=value.device)
    return value[:, None] // places % 10


def _value(digits: Tensor) -> Tensor:
    """The numbers (N,) of digits (N, S), the lowest first; -1 where a token is not a digit."""
    places = 10 ** torch.arange(digits.shape[1], device=digits.device)
    return torch.where((digits < 10).all(dim=1), (digits * places).sum(dim=1), -1)


def _mix(value: Tensor) -> Tensor:
    """A 64-bit mix of integers (N,), the finalizer of Steele et al.'s SplitMix64 (2014), with wrap-around."""
    value = value + -7046029254386353131  # 0x9e3779b97f4a7c15 as a signed number
    value = (value ^ (value >> 30 & (1 << 34) - 1)) * -4658895280553007687
    value = (value ^ (value >> 27 & (1 << 37) - 1)) * -7723592293110705685
    return value ^ (value >> 31 & (1 << 33) - 1)


TASKS.register("multiplication", TaskKind(MultiplicationSettings, Multiplication), shipped=True)
