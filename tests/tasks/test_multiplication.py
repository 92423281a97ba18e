"""Multiplication against the published format, against Python's integers, and the split of the pairs."""

import pytest
import torch

from chainlift.seeding import stream
from chainlift.tasks.base import held_out
from chainlift.tasks.multiplication import Multiplication, MultiplicationSettings


def make(**settings: object) -> Multiplication:
    return Multiplication(MultiplicationSettings(**settings))  # pyright: ignore[reportArgumentType]


def verdict_of(task: Multiplication, prompt: str, response: str) -> tuple[bool, bool, int, int]:
    """(answer, chain, steps, steps right) of a text that ends with EOS."""
    encode, eos = task.vocabulary.encode, torch.tensor([task.vocabulary.eos])
    verdict = task.verify(encode(prompt)[None], torch.cat([encode(response), eos])[None])
    return bool(verdict.answer_correct), bool(verdict.chain_correct), int(verdict.steps), int(verdict.steps_right)


PROMPT = "9 1 7 3 * 9 4 3 3"
CHAIN = (
    "1 7 4 3 3 + 0 6 7 8 4 1 ( 1 3 2 2 8 1 ) + 0 0 7 5 1 1 1 ( 1 3 9 7 9 2 1 ) + 0 0 0 7 5 1 1 1 #### 1 3 9 4 5 4 2 1"
)


def test_the_published_example() -> None:
    task = make(n=4)
    prompt = task.vocabulary.encode(PROMPT)[None]
    assert task.vocabulary.decode(task.gold(prompt, long=True)[0]) == f"{CHAIN} <eos>"
    assert task.vocabulary.decode(task.gold(prompt, long=False)[0]) == "1 3 9 4 5 4 2 1 <eos>"
    marked = make(n=4, marker="both")
    assert marked.vocabulary.decode(marked.gold(prompt, long=False)[0]) == "#### 1 3 9 4 5 4 2 1 <eos>"


@pytest.mark.parametrize(("n", "tokens"), [(2, 8), (3, 24), (4, 46), (5, 74), (7, 148)])
def test_chain_tokens_as_published(n: int, tokens: int) -> None:
    task = make(n=n)
    assert task.long_length == tokens + 1 + 2 * n


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 2), (3, 2), (2, 5), (9, 9)])
def test_products_are_pythons(n: int, m: int) -> None:
    task = make(n=n, m=m)
    for prompt in task.prompts(50, stream(0, "x")):
        a, b = (int("".join(part.split()[::-1])) for part in task.vocabulary.decode(prompt).split("*"))
        assert 10 ** (n - 1) <= a < 10**n
        assert 10 ** (m - 1) <= b < 10**m
        answer = task.vocabulary.decode(task.gold(prompt[None], long=False)[0, :-1])
        assert int("".join(answer.split()[::-1])) == a * b
        assert task.vocabulary.decode(task.gold(prompt[None], long=True)[0, :-1]).endswith(f"#### {answer}")


def test_each_number_is_judged_by_the_responses_own() -> None:
    task = make(n=4)
    assert verdict_of(task, PROMPT, CHAIN) == (True, True, 7, 7)
    slipped = CHAIN.replace("( 1 3 2 2 8 1 )", "( 2 3 2 2 8 1 )")  # one running sum too large by 1, not carried on
    assert verdict_of(task, PROMPT, slipped) == (True, False, 7, 5)
    carried = slipped.replace("( 1 3 9 7 9 2 1 )", "( 2 3 9 7 9 2 1 )").replace("#### 1", "#### 2")
    assert verdict_of(task, PROMPT, carried) == (False, False, 7, 6)
    assert verdict_of(task, PROMPT, CHAIN.replace("+ 0 6", "+ ( 6")) == (True, False, 7, 5)  # a sign for a digit


def test_the_answer_stands_alone_or_behind_its_sign() -> None:
    task, marked = make(n=4), make(n=4, marker="both")
    answer = "1 3 9 4 5 4 2 1"
    assert verdict_of(task, PROMPT, answer) == (True, True, 0, 0)
    assert verdict_of(task, PROMPT, f"#### {answer}")[:2] == (True, False)
    assert verdict_of(marked, PROMPT, f"#### {answer}") == (True, True, 0, 0)
    assert verdict_of(marked, PROMPT, answer)[:2] == (True, False)
    assert not verdict_of(task, PROMPT, f"0 {answer}")[0]
    assert not verdict_of(task, PROMPT, f"#### {answer} 0")[0]


def test_digits_are_judged_one_by_one() -> None:
    task = make(n=2)
    prompt = task.vocabulary.encode("2 1 * 2 1")[None]  # 12 * 12 = 144: 4 4 1 0
    response = torch.cat([task.vocabulary.encode("4 5 1 1"), torch.tensor([task.vocabulary.eos])])[None]
    found = task.verify(prompt, response).digits_right
    assert found is not None
    assert found.tolist() == [[True, False, True, False]]


@pytest.mark.parametrize("n", [2, 3, 7])
def test_no_pair_is_on_both_sides_in_either_order(n: int) -> None:
    task = make(n=n)
    other = held_out(task)
    seen = {tuple(row) for row in task.prompts(4000, stream(0, "train")).tolist()}
    kept = {tuple(row) for row in other.prompts(2000, stream(0, "test")).tolist()}
    swapped = {(*row[n + 1 :], row[n], *row[:n]) for row in kept}
    assert not seen & (kept | swapped)
    assert len(seen) > 1000
    assert len(kept) > 500


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_stated_share_is_held_out(share: float) -> None:
    """Of 405,000 unordered pairs of 3-digit numbers; within 6 standard deviations of a fair hash (10^-8)."""
    numbers = torch.arange(100, 1000)
    pairs = torch.combinations(numbers, with_replacement=True)
    found = make(n=3, held_out=share).is_held_out(pairs).double().mean()
    assert abs(float(found) - share) < 6 * (share * (1 - share) / len(pairs)) ** 0.5


def test_all_pairs_that_may_be_drawn_are_drawn_alike() -> None:
    """Counts over the 90 first factors of n = 2: within 7 standard deviations each, a false alarm in 10^9 or less."""
    task = make(n=2)
    pairs = torch.cartesian_prod(torch.arange(10, 100), torch.arange(10, 100))
    allowed = pairs[~task.is_held_out(pairs)]
    draws = task.prompts(40_000, stream(0, "x"))
    first = draws[:, 0] + 10 * draws[:, 1]
    expected = allowed[:, 0].bincount(minlength=100) * (40_000 / len(allowed))
    off = (first.bincount(minlength=100) - expected).abs()[10:] / expected[10:].sqrt()
    assert float(off.max()) < 7


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n": 1, "held_out": 0.0001}, "leaves no pair to measure"),
        ({"n": 1, "held_out": 0.9999}, "leaves no pair to train on"),
        ({"n": 1, "held_out": 0.001}, "leaves no pair to measure"),
        ({"n": 4, "held_out": 0.0001}, "leaves no pair to measure"),
        ({"n": 9, "held_out": 0.9999}, "leaves no pair to train on"),
    ],
)
def test_a_share_that_leaves_nothing_to_draw_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make(**options)


@pytest.mark.parametrize(
    "options", [{"n": 1, "held_out": 0.05}, {"n": 1, "m": 2, "held_out": 0.01}, {"n": 4, "held_out": 0.001}]
)
def test_both_sides_of_a_small_share_can_be_drawn(options: dict[str, object]) -> None:
    task = make(**options)
    for side in (task, held_out(task)):
        assert len(side.prompts(64, torch.Generator().manual_seed(0))) == 64
