"""Running sums against values computed by hand, option by option."""

from typing import Any

import pytest
import torch
from torch import Tensor

from chainlift.seeding import stream
from chainlift.stages import recipe
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings


def make(**settings: Any) -> RunningSum:
    return RunningSum(RunningSumSettings(**settings))


def shown(task: RunningSum, prompt: str, *, long: bool = True) -> str:
    return task.vocabulary.decode(task.gold(task.vocabulary.encode(prompt)[None], long=long)[0])


@pytest.mark.parametrize(
    ("settings", "prompt", "chain", "answer"),
    [
        ({"d": 4}, "1011", "1101", "1"),
        ({"d": 3, "modulus": 3}, "221", "212", "2"),
        ({"d": 4, "order": "right_to_left"}, "1000", "0001", "1"),
        ({"d": 5, "leap": 2}, "11010", "011", "1"),
        ({"d": 6, "leap": 3, "modulus": 5}, "444111", "20", "0"),
        ({"d": 4, "marker": "long"}, "1011", ">1101", "1"),
        ({"d": 4, "marker": "both"}, "1011", ">1101", "=1"),
        ({"d": 4, "d_min": 2}, "__11", "10", "0"),
        ({"d": 4, "d_min": 2}, "_110", "100", "0"),
        ({"d": 5, "d_min": 3, "leap": 2}, "_1101", "01", "1"),
        ({"d": 4, "d_min": 3, "order": "right_to_left", "marker": "both"}, "_110", ">010", "=0"),
    ],
    ids=str,
)
def test_hand_computed(settings: dict[str, Any], prompt: str, chain: str, answer: str) -> None:
    task = make(**settings)
    eos = task.vocabulary.tokens[-1]
    assert shown(task, prompt).replace(eos, "") == chain
    assert shown(task, prompt, long=False).replace(eos, "") == answer


def test_a_plain_task_has_no_token_but_digits() -> None:
    task = make(d=3, modulus=3)
    assert task.vocabulary.tokens == ("0", "1", "2", "<eos>")
    assert task.gold(torch.tensor([[2, 2, 1]]), long=True).tolist() == [[2, 1, 2, 3]]


def test_a_hidden_subset_is_the_same_for_every_prompt_and_all_that_counts() -> None:
    task, other = make(d=12, sparse=3), make(d=12, sparse=3, subset=1)
    prompts = task.prompts(200, stream(0, "x"))
    gold = task.gold(prompts, long=True)
    counts = []
    for position in range(12):
        changed = prompts.clone()
        changed[:, position] = 1 - changed[:, position]
        differs = (task.gold(changed, long=True) != gold).any(dim=1)
        assert differs.all() or not differs.any()
        counts.append(bool(differs.all()))
    assert sum(counts) == 3
    assert task.long_length == 3
    assert not torch.equal(other.gold(prompts, long=True), gold)


def test_lengths_are_uniform_over_their_range() -> None:
    """2,000 prompts over 4 lengths: each count within 6 standard deviations, a false alarm in 10^8 or less."""
    task = make(d=8, d_min=5)
    counts = (task.prompts(2000, stream(0, "x")) < 2).sum(dim=1).bincount()
    assert counts[:5].sum() == 0
    assert (counts[5:] - 500).abs().max() < 6 * (2000 * 0.25 * 0.75) ** 0.5


def follows(task: RunningSum, prompts: Tensor, chain: Tensor) -> Tensor:
    """(N, L) bool: the token is the one before plus the digit."""
    before = torch.nn.functional.pad(chain[:, :-1], (1, 0))
    return (before + prompts) % task.modulus == chain


@pytest.mark.parametrize("modulus", [2, 3])
def test_noise_that_chains_build_on(modulus: int) -> None:
    """Slips at the stated rate, each other symbol as often; the rates are within 5 standard errors of 20,000 steps
    (a false alarm in 10^6).
    """
    task = make(d=10, modulus=modulus, noise=0.2)
    prompts = task.prompts(2000, stream(0, "x"))
    chain = task.demonstrate(prompts, stream(0, "noise"), long=True)[:, :-1]
    right = follows(task, prompts, chain)
    assert abs(float((~right).float().mean()) - 0.2) < 5 * (0.2 * 0.8 / 20000) ** 0.5
    assert torch.equal(
        right.sum(dim=1), task.verify(prompts, torch.nn.functional.pad(chain, (0, 1), value=modulus)).steps_right
    )
    if modulus == 3:
        before = torch.nn.functional.pad(chain[:, :-1], (1, 0))
        slips = (chain - before - prompts) % 3
        share = float((slips == 1).sum() / (slips > 0).sum())
        assert abs(share - 0.5) < 5 * (0.25 / 4000) ** 0.5


def test_noise_that_chains_do_not_build_on() -> None:
    """The same rate, but against the gold chain; a slip breaks two steps, its own and the next."""
    task = make(d=10, noise=0.1, noise_follows=False)
    prompts = task.prompts(2000, stream(0, "x"))
    chain = task.demonstrate(prompts, stream(0, "noise"), long=True)[:, :-1]
    wrong = chain != task.gold(prompts, long=True)[:, :-1]
    assert abs(float(wrong.float().mean()) - 0.1) < 5 * (0.1 * 0.9 / 20000) ** 0.5
    assert torch.equal(~follows(task, prompts, chain), wrong ^ torch.nn.functional.pad(wrong[:, :-1], (1, 0)))


def test_short_demonstrations_have_no_noise() -> None:
    task = make(d=4, noise=1.0)
    prompts = task.prompts(50, stream(0, "x"))
    assert torch.equal(task.demonstrate(prompts, stream(0, "n"), long=False), task.gold(prompts, long=False))


def test_steps_are_judged_by_the_responses_own_previous_token() -> None:
    task = make(d=4)
    prompts = torch.tensor([[1, 0, 1, 1]])  # gold 1 1 0 1
    derailed = torch.tensor([[1, 0, 1, 0, 2]])  # wrong from the second step on, which alone does not follow
    verdict = task.verify(prompts, derailed)
    assert verdict.steps.item() == 4
    assert verdict.steps_right.item() == 3
    assert not verdict.answer_correct.item()


def test_leaping_steps_are_judged_by_the_block_between_them() -> None:
    task = make(d=6, leap=2)  # gold of 110110: 0 1 0
    prompts = torch.tensor([[1, 1, 0, 1, 1, 0]])
    verdict = task.verify(prompts, torch.tensor([[1, 0, 1, 2]]))
    assert (verdict.steps.item(), verdict.steps_right.item()) == (3, 2)


def test_the_last_token_counts_whatever_the_length() -> None:
    task = make(d=4)
    prompts = torch.tensor([[1, 0, 1, 1]])
    verdict = task.verify(prompts, torch.tensor([[0, 1, 2, 2, 2]]))  # "0 1 <eos>"
    assert verdict.answer_correct.item()
    assert not verdict.chain_correct.item()
    assert verdict.length.item() == 2


def test_a_form_without_its_marker_is_right_but_not_gold() -> None:
    task = make(d=4, marker="both")
    prompts = task.vocabulary.encode("1011")[None]
    for text, answer, chain in (("1", True, False), ("1101", True, False), (">1101", True, True), ("=1", True, True)):
        response = torch.cat([task.vocabulary.encode(text), torch.tensor([task.vocabulary.eos])])[None]
        verdict = task.verify(prompts, response)
        assert (verdict.answer_correct.item(), verdict.chain_correct.item()) == (answer, chain), text


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("task.modulus=1", "task.modulus: Input should be greater than or equal to 2 .got 1."),
        ("task.leap=8", "task: leap 8 must be below 8, the number of elements that count"),
        ("task.leap=9", "task: leap 9 must be below 8"),
        ("task.leap=0", "task.leap: .*greater than or equal to 1"),
        ("task.sparse=9", "task: sparse 9 must not exceed d 8"),
        ("task={name: running_sum, d: 8, sparse: 4, leap: 4}", "task: leap 4 must be below 4"),
        ("task.noise=1.5", "task.noise: .*less than or equal to 1"),
        ("task.noise=-0.1", "task.noise: .*greater than or equal to 0"),
        ("task.noise=.nan", "task.noise: "),
        ("task.d_min=9", "task: d_min 9 must not exceed d 8"),
        ("task={name: running_sum, d: 8, sparse: 4, d_min: 4}", "task: sparse and d_min exclude each other"),
        ("task.marker=short", "task.marker: .*'none', 'long' or 'both'"),
        ("task={name: permutation, degree: 4}", "task.degree: .*3 or 5"),
        ("task={name: multiplication, n: 0}", "task.n: .*greater than or equal to 1"),
        ("task={name: multiplication, n: 10}", "task.n: .*less than or equal to 9"),
        ("task={name: multiplication, held_out: 0}", "task.held_out: .*greater than 0"),
        ("task={name: graph_path, branching: 4}", "task: branching 4 must not exceed width 3"),
        ("task={name: graph_path, ends: 64, width: 64, hops: 64}", "task: a graph of .* nodes is too large"),
    ],
)
def test_bad_options_are_one_line_that_names_the_key(override: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as found:
        recipe.load("tiny", [override])
    assert "\n" not in str(found.value)
