"""What is sampled is what is scored, whatever leaves the batch."""

import copy
import math
from typing import Any
from unittest import mock

import pytest
import torch

from chainlift.learning import rollout
from chainlift.learning.draft import Draft
from chainlift.learning.likelihood import log_probs
from chainlift.models.linear import LinearDecoder, LinearModel, LinearSettings
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer import transformer
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.decoding import TransformerDecoder
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings
from tests.learning import plain_engine

EOS = 2


def draw(model: Transformer, task: RunningSum, *, temperature: float = 1.0, group_size: int = 4) -> rollout.Rollout:
    return rollout.sample(
        model,
        task.prompts(16, stream(0, "prompts")),
        eos=EOS,
        max_tokens=7,
        group_size=group_size,
        temperature=temperature,
        generator=stream(0, "samples"),
    )


def assert_same(found: rollout.Rollout, plain: rollout.Rollout) -> None:
    assert torch.equal(found.responses, plain.responses)
    assert torch.equal(found.num_actions, plain.num_actions)
    torch.testing.assert_close(found.logp, plain.logp, atol=2e-6, rtol=5e-5)  # logits may be divided by .05
    torch.testing.assert_close(found.entropy, plain.entropy)


@pytest.mark.parametrize("temperature", [None, 0.7, 1.0, 1.5])
def test_samples_are_those_of_rows_that_are_read_alone_and_anew(
    model: Transformer, task: RunningSum, temperature: float | None
) -> None:
    options: dict[str, Any] = {"eos": EOS, "max_tokens": 7}
    prompts, generators = task.prompts(16, stream(0, "prompts")), [None, None]
    if temperature is not None:
        options |= {"temperature": temperature, "group_size": 4}
        generators = [stream(0, "samples"), stream(0, "samples")]
    found = rollout.sample(model, prompts, generator=generators[0], **options)
    assert_same(found, plain_engine.sample(model, prompts, generator=generators[1], **options))
    assert 0 < float(found.entropy) < math.log(3)


def test_rows_that_leave_free_memory_though_groups_stop_sharing_their_prefix() -> None:
    """A long prompt, short responses and large groups: one copy of the prefix a row would be several times as much."""
    task = RunningSum(RunningSumSettings(d=64, leap=32))
    model = Transformer(ModelSettings(layers=1, width=8, heads=2), task.vocabulary.size, 80)
    model.initialize(stream(1, "model"))
    held: list[int] = []

    class Watched(TransformerDecoder):
        def step(self, tokens: torch.Tensor) -> torch.Tensor:
            logits = super().step(tokens)
            held.append(sum(buffer.numel() for pair in self.prefix + self.own for buffer in pair))
            return logits

    def most() -> int:
        held.clear()
        with mock.patch.object(transformer, "TransformerDecoder", Watched):
            found = rollout.sample(model, prompts, eos=EOS, max_tokens=8, group_size=16, generator=stream(0, "samples"))
        assert len(set(found.num_actions.tolist())) > 2, "the test needs responses of different lengths"
        return max(held)

    prompts = task.prompts(4, stream(0, "prompts"))
    usual = most()
    with mock.patch.object(rollout, "COMPACT_BELOW", 0.0):  # nobody ever leaves
        assert usual <= most()


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
def test_recorded_log_probabilities_are_those_of_a_forward_pass(
    model: Transformer, task: RunningSum, temperature: float
) -> None:
    found = draw(model, task, temperature=temperature)
    prefix, last = split_prompts(found.prompts)
    with torch.no_grad():
        cache = model.prefill(prefix)
        scored = log_probs(model, cache, last, found.responses, found.rows, temperature=temperature)
    torch.testing.assert_close(found.logp[found.mask], scored[found.mask], atol=2e-6, rtol=1e-5)
    assert (found.logp[~found.mask] == 0).all()


def test_rows_end_with_their_first_eos_or_at_the_limit(model: Transformer, task: RunningSum) -> None:
    found = draw(model, task)
    lengths = set(found.num_actions.tolist())
    assert len(lengths) > 2, "the test needs responses of different lengths"
    for tokens, count in zip(found.responses.tolist(), found.num_actions.tolist(), strict=True):
        assert EOS not in tokens[: count - 1]
        assert tokens[count - 1] == EOS or count == 7
        assert all(token == EOS for token in tokens[count:])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_when_rows_leave_the_batch_nothing_changes(
    model: Transformer, task: RunningSum, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = draw(model, task)
    monkeypatch.setattr(rollout, "COMPACT_BELOW", share)  # 0: nobody ever leaves; 1: all leave at once
    other = draw(model, task)
    assert torch.equal(usual.responses, other.responses)
    torch.testing.assert_close(usual.logp, other.logp, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(usual.entropy, other.entropy)


def test_counting_the_running_rows_now_and_then_changes_nothing(
    model: Transformer, task: RunningSum, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on devices where counting waits: rows that have ended go on for a while, and are not written."""
    usual = draw(model, task)
    monkeypatch.setattr(rollout, "COUNT_EVERY", 3)
    monkeypatch.setattr(rollout, "COUNTS_AT_ONCE", ())
    other = draw(model, task)
    assert torch.equal(usual.responses, other.responses)
    assert torch.equal(usual.num_actions, other.num_actions)
    torch.testing.assert_close(usual.logp, other.logp, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("temperature", [None, 0.05, 1.0])
@pytest.mark.parametrize("right", ["all", "half", "none"])
@pytest.mark.parametrize("after", [1, 3])
def test_a_draft_changes_the_time_and_nothing_else(
    model: Transformer, task: RunningSum, temperature: float | None, right: str, after: int
) -> None:
    """Whether the guess is the greedy response, a wrong one, or either by turns."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.head.weight[EOS] *= 3  # so that greedy responses end
    prompts = task.prompts(48, stream(0, "prompts"))
    keys: dict[str, Any] = {"eos": EOS, "max_tokens": 7}
    guess = rollout.sample(model, prompts, **keys).responses
    guess = torch.nn.functional.pad(guess, (0, 7 - guess.shape[1]), value=EOS)
    if temperature is not None:
        keys |= {"temperature": temperature, "group_size": 3}
    wrong = torch.ones(48, dtype=torch.bool) if right == "none" else torch.arange(48) % 2 == 1
    if right != "all":
        guess[wrong, after:] = (guess[wrong, after:] + 1) % 3

    def generator() -> torch.Generator | None:
        return None if temperature is None else stream(0, "samples")

    def draw_with(draft: Draft | None) -> tuple[rollout.Rollout, list[int], int]:
        """What is sampled, the rows of each step, and the guesses that are read."""
        with (
            mock.patch.object(TransformerDecoder, "step", autospec=True, side_effect=TransformerDecoder.step) as steps,
            mock.patch.object(Transformer, "logits", autospec=True, side_effect=Transformer.logits) as reads,
        ):
            found = rollout.sample(model, prompts, generator=generator(), draft=draft, **keys)
        return (
            found,
            [len(call.args[1]) for call in steps.call_args_list],
            sum(len(call.args[2]) for call in reads.call_args_list),
        )

    plain = plain_engine.sample(model, prompts, generator=generator(), **keys)
    (undrafted, steps_without, _), (drafted, steps, guesses) = draw_with(None), draw_with(Draft(guess, after))
    assert_same(undrafted, plain)
    assert_same(drafted, plain)
    assert 0 < guesses <= 48, "a prompt's draft is read once for all its rows"
    assert steps[0] == steps_without[0] == 48, "the first token of a group is one step"
    ended = bool((plain.num_actions > after).any()) and bool((plain.responses == EOS).any())
    assert ended, "the test needs responses that the draft can bring to their end"
    assert sum(steps) <= sum(steps_without)
    brought = (plain.num_actions > after) & (plain.responses[:, -1] == EOS)
    if right == "all" and temperature is None and brought.float().mean() > 0.5:
        assert sum(steps) < sum(steps_without)


@pytest.mark.parametrize("wrong_again", [False, True])
def test_rows_that_leave_a_draft_are_read_on_along_a_resumed_one(task: RunningSum, wrong_again: bool) -> None:
    """The greedy responses with a wrong token are the draft; how they go on behind it is known, once or twice."""
    model = LinearModel(LinearSettings(family="linear"), 3, 13)  # its chains all have 6 tokens
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter += torch.empty_like(parameter).normal_(generator=stream(number, "weights"))
        model.stop[0, -1] = 50.0
    keys: dict[str, Any] = {"eos": EOS, "max_tokens": 7}
    prompts = task.prompts(12, stream(0, "prompts")).unique(dim=0)
    plain = rollout.sample(model, prompts, **keys)
    truth = plain.responses
    assert (plain.num_actions == 7).all()

    def with_wrong(place: int) -> torch.Tensor:
        changed = truth.clone()
        changed[:, place] = 1 - truth[:, place]
        return changed

    left_at = []

    def resume(asked: torch.Tensor, responses: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        number = [prompts.tolist().index(prompt) for prompt in asked.tolist()]
        kept = torch.arange(7) <= at[:, None]
        assert torch.equal(responses[kept], truth[number][kept])
        left_at.append(at.unique().tolist())
        return responses.where(kept, (with_wrong(5) if wrong_again and len(left_at) == 1 else truth)[number])

    draft = with_wrong(4)
    with mock.patch.object(LinearDecoder, "step", autospec=True, side_effect=LinearDecoder.step) as steps:
        found = rollout.sample(model, prompts, draft=Draft(draft, 1, resume), **keys)
    assert torch.equal(found.responses, truth)
    torch.testing.assert_close(found.logp, plain.logp, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(found.entropy, plain.entropy)
    assert len(steps.call_args_list) == (7 if wrong_again else 1), "a guess of no use is the last one"
    assert left_at == [[4]]


def test_first_tokens_follow_the_models_distribution(model: Transformer, task: RunningSum) -> None:
    """Pearson's chi-square of 4,000 first tokens per prompt, 3 symbols; false alarm 4 * exp(-13.8) < 1e-5 for 4
    prompts.
    """
    prompts, count = task.prompts(4, stream(0, "prompts")), 4000
    found = rollout.sample(model, prompts, eos=EOS, max_tokens=1, group_size=count, generator=stream(3, "samples"))
    prefix, last = split_prompts(prompts)
    with torch.no_grad():
        expected = model.logits(model.prefill(prefix), last)[:, 0].softmax(dim=-1) * count
    seen = torch.nn.functional.one_hot(found.responses[:, 0].view(4, count), 3).sum(dim=1)
    chi_square = ((seen - expected) ** 2 / expected).sum(dim=1)
    assert (chi_square < 2 * 13.8).all(), chi_square  # P(chi2 with 2 degrees > x) = exp(-x / 2)


def test_joined_rollouts_keep_rows_with_their_prompts(model: Transformer, task: RunningSum) -> None:
    one = draw(model, task)
    other = rollout.sample(
        model, task.prompts(3, stream(9, "p")), eos=EOS, max_tokens=7, group_size=4, generator=stream(9, "s")
    )
    joined = rollout.join([one, other], EOS)
    assert torch.equal(joined.row_prompts, torch.cat([one.row_prompts, other.row_prompts]))
    taken = rollout.take_groups(joined, torch.tensor([2, 17]))
    assert torch.equal(taken.prompts, joined.prompts[[2, 17]])
    assert torch.equal(taken.row_prompts[4:], other.row_prompts[4:8])
    assert torch.equal(taken.num_actions[4:], other.num_actions[4:8])
    width = min(taken.responses.shape[1], other.responses.shape[1])
    assert torch.equal(taken.responses[4:, :width], other.responses[4:8, :width])
