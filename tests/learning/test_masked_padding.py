"""Prompts of different lengths whose padding is masked: no piece reads more of it than it must, and none is counted."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F

from chainlift import distributed
from chainlift.learning import next_token, parallel, policy_update, rollout
from chainlift.learning.next_token import LossWeighting, Piece
from chainlift.learning.policy_update import PolicyBatch
from chainlift.learning.presets import PRESETS
from chainlift.measure.evaluate import answer
from chainlift.measure.samples import records
from chainlift.models import families
from chainlift.models.model import Model
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.seeding import stream
from chainlift.stages.kinds.ppo import ActorCritic, ProximalPolicyOptimization
from chainlift.tasks import mixture
from chainlift.tasks.mixture import MixtureBatch, MixtureSettings
from chainlift.text.sources.word_problems import WordProblems, WordProblemSettings
from chainlift.text.tokenized import TokenizedTask
from tests.text.trained_tokenizer import trained_tokenizer

WEIGHTINGS = ["token_mean", "sequence_mean", "sequence_sum"]


@pytest.fixture(scope="module")
def task() -> TokenizedTask:
    text_task = WordProblems(WordProblemSettings(train_size=40, test_size=5, max_tokens=100))
    return TokenizedTask(text_task, trained_tokenizer(text_task))


@pytest.fixture(scope="module")
def model(task: TokenizedTask) -> Model:
    settings = ModelSettings(family="mistral", layers=1, width=16, heads=2)
    return families.of_size(settings, task.vocabulary.size, 256).initialize(stream(0, "model"))


@pytest.fixture(scope="module")
def batch(task: TokenizedTask) -> MixtureBatch:
    return mixture.draw(task, MixtureSettings(p_cot=0.5), 40, seed=0, name="test", step=0)


def pieces_of(
    batch: MixtureBatch, weighting: LossWeighting, whole: MixtureBatch | None = None, max_tokens: int = 8192
) -> list[Piece]:
    return list(next_token.pieces(batch, weighting, whole or batch, torch.device("cpu"), max_tokens))


def plain_loss(model: Model, batch: MixtureBatch, weighting: LossWeighting) -> float:
    """The loss from sequences read one by one, without padding."""
    sums, counts = [], []
    for part in batch.parts:
        assert part.prompt_lengths is not None
        for row, length in enumerate(part.prompt_lengths.tolist()):
            response = part.responses[row][part.mask[row]]
            sequence = torch.cat([part.prompts[row, -length:], response])
            logits = model.read(sequence[None, :-1], length - 1)[0]
            sums.append(float(F.cross_entropy(logits, response, reduction="sum")))
            counts.append(len(response))
    if weighting == "token_mean":
        return sum(sums) / sum(counts)
    lengths = counts if weighting == "sequence_mean" else [1] * len(counts)
    return sum(total / length for total, length in zip(sums, lengths, strict=True)) / len(sums)


@torch.no_grad()
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("max_tokens", [1, 500, 10**6])
def test_pieces_have_the_loss_of_single_rows(
    model: Model,
    task: TokenizedTask,
    batch: MixtureBatch,
    weighting: LossWeighting,
    max_tokens: int,
) -> None:
    loss = weights = rows = 0.0
    for piece in pieces_of(batch, weighting, max_tokens=max_tokens):
        assert piece.sequences.numel() <= max_tokens or len(piece.sequences) == 1
        assert (piece.sequences[:, 0] != task.padding).any(), "no column is padding only"
        assert piece.mask[:, -1].any()
        assert not piece.weights[~piece.mask].any()
        rows, weights = rows + len(piece.sequences), weights + float(piece.weights.sum())
        for row, sequence in enumerate(piece.sequences):
            padding = int((sequence == task.padding).cumprod(dim=0).sum())
            logits = model.read(sequence[None, padding:], piece.start - padding)[0]
            nll = F.cross_entropy(logits, piece.responses[row], reduction="none")
            loss += float((piece.weights[row] * nll).sum())
    mean_count = sum(int(part.mask.sum()) for part in batch.parts) / 40
    assert rows == 40
    assert weights == pytest.approx(mean_count if weighting == "sequence_sum" else 1.0, rel=1e-5)
    assert loss == pytest.approx(plain_loss(model, batch, weighting), rel=1e-5)


def test_sorting_saves_padding(batch: MixtureBatch) -> None:
    without_lengths = MixtureBatch(*(replace(part, prompt_lengths=None) for part in (batch.short, batch.long)))
    padded, cut = (
        sum(piece.sequences.numel() for piece in pieces_of(some, "token_mean", max_tokens=500))
        for some in (without_lengths, batch)
    )
    real = batch.num_tokens - 40  # the last token of a sequence is not read
    assert real <= cut < real + (padded - real) / 3


def test_a_piece_ends_where_padding_grows(
    task: TokenizedTask, batch: MixtureBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_token, "LEAST_TOKENS", 10**6)
    assert len(pieces_of(batch, "token_mean")) == 2, "small pieces do not end for their padding"
    monkeypatch.setattr(next_token, "LEAST_TOKENS", 150)
    pieces = pieces_of(batch, "token_mean")
    assert len(pieces) > 4
    for piece in pieces:
        left = (piece.sequences == task.padding).long().cumprod(dim=1).sum()
        num_padding, size = int(left + (~piece.mask).sum()), piece.sequences.numel()
        assert num_padding <= size / 16 or size - num_padding <= 150 + piece.sequences.shape[1]


def test_shards_keep_their_lengths(batch: MixtureBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    shards, weights = [], 0.0
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "shard", lambda n, rank=rank: slice(rank * (n // 2), n if rank else n // 2))
        shards.append(parallel.local_demonstrations(batch))
        weights += sum(float(piece.weights.sum()) for piece in pieces_of(shards[-1], "token_mean", batch))
    assert sum(shard.num_tokens for shard in shards) == batch.num_tokens
    assert weights == pytest.approx(1.0, rel=1e-5)


def test_rollouts_count_real_tokens_and_records_show_real_prompts(model: Model, task: TokenizedTask) -> None:
    """Also after they were joined, split and moved. The model reads the padding here, which changes no count."""
    parts = [
        answer(model, task, task.prompts(n, stream(n, "p")), group_size=2, generator=stream(n, "s")) for n in (3, 4)
    ]
    for part in parts:
        lengths = part.rollout.prompt_lengths
        assert lengths is not None
        assert lengths.tolist() == [len(encoded(task, prompt)) for prompt in part.rollout.prompts]
        assert part.rollout.num_tokens == 2 * int(lengths.sum()) + int(part.rollout.num_actions.sum())
    joined = rollout.join([part.rollout for part in parts], task.vocabulary.eos)
    assert joined.num_tokens == sum(part.rollout.num_tokens for part in parts)
    groups = [rollout.take_groups(joined, torch.tensor(rows)) for rows in ([0, 5], [1, 2, 3, 4, 6])]
    assert sum(group.num_tokens for group in groups) == joined.num_tokens
    moved = parallel._to_device(joined, torch.device("cpu"))
    assert moved.num_tokens == joined.num_tokens
    assert parallel._to_device(replace(joined, prompt_lengths=None), torch.device("cpu")).prompt_lengths is None
    advantages = torch.tensor([1.0, 0, 0, 1, 1, 1] + [0] * 8)
    update = PolicyBatch(joined, advantages, torch.full((14,), 1 / 14), on_policy=True)
    metrics = policy_update.accumulate_gradient(model, update, PRESETS["grpo"], temperature=1.0)
    needed = advantages != 0
    assert joined.prompt_lengths is not None
    num_prompt_tokens = int(joined.prompt_lengths[joined.rows[needed]].sum())
    assert metrics["tokens"] == num_prompt_tokens + int(joined.num_actions[needed].sum())
    record: dict[str, Any] = records(task, parts[0], [3])[0]
    problem = task.problems_of(parts[0].rollout.prompts[1:2])[0]
    assert record["prompt"] == task.text_task.prompt(problem)
    assert "".join(record["gold"]) == task.text_task.completion(problem, long=record["gold"][0] != " ####")
    assert len(record["response"]) == len(record["probabilities"]) == len(record["token_right"])
    assert set(record["token_right"]) == {record["answer"]}, "text is judged by its answer"


@pytest.mark.parametrize("entropy_coefficient", [0.0, 0.1])
@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_ppo_counts_real_tokens_and_reads_weights_of_any_precision(
    task: TokenizedTask, weights: Literal["float32", "bfloat16"], entropy_coefficient: float
) -> None:
    settings = LlamaSettings(layers=1, width=16, heads=2, weights=weights)
    model = families.build(settings, task).fresh(stream(0, "model"))
    samples = answer(model, task, task.prompts(4, stream(0, "p")), generator=stream(0, "s")).rollout
    learner = ActorCritic(ProximalPolicyOptimization(entropy_coefficient=entropy_coefficient), model)
    learner.prepare_round(samples, torch.tensor([1.0, 0, 1, 0]))
    update = PolicyBatch(samples, torch.zeros(4), torch.tensor([0.5, 0.5, 0, 0]), on_policy=True)
    metrics = learner.accumulate_gradient(update)
    assert samples.prompt_lengths is not None
    assert metrics["tokens"] == int((samples.prompt_lengths + samples.num_actions)[:2].sum())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learner.head.parameters())


def encoded(task: TokenizedTask, prompt: torch.Tensor) -> torch.Tensor:
    text = task.text_task.prompt(task.problems_of(prompt[None])[0])
    assert isinstance(text, str)
    return task.vocabulary.encode(text)
