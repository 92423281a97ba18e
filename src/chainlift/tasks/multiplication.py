"""Multiplication of numbers with n and m digits, least significant digit first.

Prompt `a * b`. Long form: the partial products, joined by `+`, with the running sum in parentheses after each but the
first and the last, then `####` and the product. Partial product i is digit i of b (from 0) times a, shifted by i zeros;
it and the running sum up to it have n + 1 + i digits. The product has n + m digits. Short form: the product, after
`####` if the marker is `both`. The demonstration of 3719 * 3349 is

    9173*9433   17433+067841(132281)+0075111(1397921)+00075111####13945421

Format: the public data of Deng et al., "From Explicit CoT to Implicit CoT" (arXiv 2405.14838).

There are few numbers of n digits, so a share of all pairs is held out. A hash of the pair decides, the same for (a, b)
and (b, a). The task draws only pairs that are not held out; `held_out()` draws only those that are.
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
MAX_ENUMERATED_DIGITS = 5  # of both factors: up to 81,000 pairs, all hashed; with more, every residue has pairs
HASH_MODULUS = 1000  # a pair is held out if its hash modulo this is below held_out * this


class MultiplicationSettings(Settings):
    """Settings of multiplication: the size of the factors and the form of answers."""

    name: Literal["multiplication"] = "multiplication"
    n: int = Field(default=2, ge=1, le=9)
    """Digits of the first factor."""
    m: int | None = Field(default=None, ge=1, le=9)
    """Digits of the second factor; null: as many as the first has."""
    marker: Literal["long", "both"] = "long"
    """Forms with `####` before the answer: the long one alone, or both."""
    held_out: float = Field(default=0.1, gt=0, lt=1, strict=False)
    """Share of the pairs that are held out of training and RL; measurements draw only them."""

    @property
    def digits(self) -> tuple[int, int]:
        """Digits (n, m) of the factors."""
        return self.n, self.m or self.n


@dataclass(frozen=True)
class _Number:
    """A number in the long form: its position and its kind."""

    start: int
    size: int
    kind: Literal["partial", "sum", "answer"]
    factor: int  # the digit of b, for partial products and running sums

    @property
    def columns(self) -> slice:
        """Columns of a response that hold the number."""
        return slice(self.start, self.start + self.size)


class Multiplication:
    """The task multiplication; the module's docstring describes its two forms."""

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
        """Draw prompts (n, prompt_length): pairs that are uniform over this task's side of the split."""
        share = self.settings.held_out if self.draws_held_out else 1 - self.settings.held_out
        pairs = torch.empty(0, 2, dtype=torch.long)
        while len(pairs) < n:
            size = int((n - len(pairs)) / share * 1.1) + 8
            factors = [
                torch.randint(10 ** (digits - 1), 10**digits, (size,), generator=generator)
                for digits in self.settings.digits
            ]
            candidates = torch.stack(factors, dim=1)
            pairs = torch.cat([pairs, candidates[self.is_held_out(candidates) == self.draws_held_out]])
        first, second = map(_digits, pairs[:n].unbind(dim=1), self.settings.digits)
        return torch.cat([first, torch.full((n, 1), TOKENS.index("*")), second], dim=1)

    def is_held_out(self, pairs: Tensor) -> Tensor:
        """Whether each of pairs (N, 2) is held out: bool (N,), by a hash that ignores the order of the two numbers."""
        mixed = _mix(_mix(pairs.min(dim=1).values) + pairs.max(dim=1).values)
        return (mixed >> 8) % HASH_MODULUS < round(self.settings.held_out * HASH_MODULUS)

    def _refuse_an_empty_side(self) -> None:
        """Raise ValueError if no pair is left to train on or to measure with: drawing would never end."""
        if sum(self.settings.digits) <= MAX_ENUMERATED_DIGITS:
            ranges = [torch.arange(10 ** (digits - 1), 10**digits) for digits in self.settings.digits]
            is_held_out = self.is_held_out(torch.cartesian_prod(*ranges))
        else:
            is_held_out = torch.arange(HASH_MODULUS) < round(self.settings.held_out * HASH_MODULUS)
        if is_held_out.all() or not is_held_out.any():
            purpose = "train on" if is_held_out.all() else "measure"
            raise ValueError(f"held_out {self.settings.held_out} leaves no pair to {purpose}; choose one nearer to .5")

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The worked multiplication, or the product alone, and EOS."""
        a, b, _ = self._factors(prompts)
        product = _digits(a * b, self.answer_length)
        if not long:
            marks = (len(prompts), self.short_length - self.answer_length)
            return self._with_eos(torch.cat([torch.full(marks, self._answer, device=prompts.device), product], dim=1))
        response = torch.empty(len(prompts), self.long_length, dtype=torch.long, device=prompts.device)
        for column, token in self.signs.items():
            response[:, column] = token
        for number in self.layout:
            response[:, number.columns] = _digits(self._value(number, prompts), number.size)
        return self._with_eos(response)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """The exact verdict; the answer is what follows the last `####`, or the whole response without one.

        The steps of a chain are its numbers. A partial product is right if it follows from the prompt; a running sum
        or the answer is right if it follows from the response's own partial product and running sum before it.
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
        steps, steps_right = self._steps(prompts, padded, length)
        return Verdict(
            answer_correct=answer,
            chain_correct=finished & exact | answer & short,
            finished=finished,
            long=long,
            length=length,
            steps=torch.where(long, steps, 0),
            steps_right=torch.where(long, steps_right, 0),
            digits_right=digits_right & stands_alone[:, None],
        )

    def _steps(self, prompts: Tensor, padded: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """(steps (N,), steps_right (N,)) of responses padded to the long form; a step is a number that has begun."""
        values = [_value(padded[:, number.columns]) for number in self.layout]
        steps, steps_right = torch.zeros_like(length), torch.zeros_like(length)
        sums = torch.zeros_like(length)  # the response's own running sum before the current partial product
        partial = torch.zeros_like(length)
        for number, value in zip(self.layout, values, strict=True):
            if number.kind == "partial":
                expected, partial = self._value(number, prompts), value
                if number.factor == 0:
                    sums, partial = value, torch.zeros_like(value)
            else:
                expected = sums + partial
                sums, partial = value, torch.zeros_like(value)
            has_begun = length > number.start
            steps += has_begun
            steps_right += has_begun & (value == expected) & (value >= 0)
        return steps, steps_right

    def _value(self, number: _Number, prompts: Tensor) -> Tensor:
        """Gold values (N,) of a number in the long form."""
        a, b, b_digits = self._factors(prompts)
        place = 10**number.factor
        if number.kind == "partial":
            return a * b_digits[:, number.factor] * place
        return a * b if number.kind == "answer" else a * (b % (place * 10))

    def _factors(self, prompts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The factors of prompts: a (N,), b (N,) and the digits of b (N, m)."""
        n, _ = self.settings.digits
        return _value(prompts[:, :n]), _value(prompts[:, n + 1 :]), prompts[:, n + 1 :]

    def _with_eos(self, body: Tensor) -> Tensor:
        """Responses (N, R + 1) from bodies (N, R)."""
        return torch.nn.functional.pad(body, (0, 1), value=self.vocabulary.eos)


def _layout(n: int, m: int) -> tuple[list[_Number], dict[int, int], int]:
    """Layout of the long form: its numbers, {column: token} of the signs between them, and its length without EOS."""
    numbers: list[_Number] = []
    signs: dict[int, int] = {}
    column = 0

    def add_number(kind: Literal["partial", "sum", "answer"], factor: int, size: int) -> None:
        nonlocal column
        numbers.append(_Number(column, size, kind, factor))
        column += size

    def add_sign(token: str) -> None:
        nonlocal column
        signs[column] = TOKENS.index(token)
        column += 1

    for i in range(m):
        if i > 0:
            add_sign("+")
        add_number("partial", i, n + 1 + i)
        if 0 < i < m - 1:
            add_sign("(")
            add_number("sum", i, n + 1 + i)
            add_sign(")")
    add_sign(ANSWER)
    add_number("answer", m - 1, n + m)
    return numbers, signs, column


def _digits(value: Tensor, size: int) -> Tensor:
    """The `size` lowest decimal digits (N, size) of values (N,), lowest first."""
    places = 10 ** torch.arange(size, device=value.device)
    return value[:, None] // places % 10


def _value(digits: Tensor) -> Tensor:
    """The numbers (N,) with digits (N, S), lowest first; -1 if a token is not a digit."""
    places = 10 ** torch.arange(digits.shape[1], device=digits.device)
    return torch.where((digits < 10).all(dim=1), (digits * places).sum(dim=1), -1)


def _mix(value: Tensor) -> Tensor:
    """64-bit hashes of integers (N,): the finalizer of SplitMix64 (Steele et al. 2014), with wrap-around."""
    value = value + -7046029254386353131  # 0x9e3779b97f4a7c15 as a signed number
    value = (value ^ (value >> 30 & (1 << 34) - 1)) * -4658895280553007687
    value = (value ^ (value >> 27 & (1 << 37) - 1)) * -7723592293110705685
    return value ^ (value >> 31 & (1 << 33) - 1)


TASKS.register("multiplication", TaskKind(MultiplicationSettings, Multiplication), shipped=True)
