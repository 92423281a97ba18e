import pytest
import torch

from chainlift.measure.evaluate import answer, describe, measure
from chainlift.measure.samples import records
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings

TASK = RunningSum(RunningSumSettings(d=4))


@pytest.fixture
def model() -> Transformer:
    model = Transformer(ModelSettings(width=16, heads=2), 3, 9).initialize(stream(0, "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model


def test_describe_by_hand() -> None:
    prompts = torch.tensor([[1, 0, 1, 1]] * 5)  # chain 1 1 0 1
    responses = torch.tensor(
        [[1, 1, 0, 1, 2], [1, 0, 1, 0, 2], [1, 2, 2, 2, 2], [0, 2, 2, 2, 2], [1, 1, 0, 1, 1]],
    )  # gold; one wrong step; right short; wrong short; unfinished
    found = describe([TASK.verify(prompts[:2], responses[:2]), TASK.verify(prompts[2:], responses[2:])])
    assert found["n"] == 5
    assert found["accuracy"] == pytest.approx(2 / 5)
    assert found["accuracy_ci95"] == pytest.approx([0.1176, 0.7693], abs=1e-4)  # Wilson for 2 of 5
    assert found["length_median"] == 4
    assert found["length_mean"] == pytest.approx((4 + 4 + 1 + 1 + 5) / 5)
    assert found["long_share"] == pytest.approx(3 / 5)
    assert found["chain_exactness"] == pytest.approx(1 / 3)
    assert found["step_accuracy"] == pytest.approx(11 / 12)
    assert found["unfinished_share"] == pytest.approx(1 / 5)
    assert found["length_histogram"] == {"1": 2, "4": 2, "5": 1}


def test_no_long_response_means_no_chain_to_judge() -> None:
    found = describe([TASK.verify(torch.tensor([[1, 0, 1, 1]]), torch.tensor([[1, 2]]))])
    assert found["chain_exactness"] is None
    assert found["step_accuracy"] is None


def test_measure_is_fixed_by_seed_and_step_and_independent_of_chunks(
    model: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(seed: int = 0, step: int = 0) -> dict:
        return measure(model, TASK, 100, seed=seed, name="t", step=step, pass_at_k_prompts=8, pass_at_k_samples=4)

    usual = run()
    assert usual == run()
    assert usual != run(seed=1)
    assert usual != run(step=1)
    assert len({table["decision"]["go_on"] for table in (usual, run(seed=1), run(step=1))}) == 3, "of other prompts"
    monkeypatch.setattr("chainlift.measure.evaluate.ROWS_AT_ONCE", 32)
    assert run()["greedy"] == usual["greedy"]


def test_pass_at_k_rises_with_k_and_states_n(model: Transformer) -> None:
    table = measure(model, TASK, 20, seed=0, name="t", step=0, pass_at_k_prompts=64, pass_at_k_samples=8)
    values = list(table["sampled"]["pass_at_k"].values())
    assert list(table["sampled"]["pass_at_k"]) == ["1", "2", "4", "8"]
    assert values == sorted(values)
    assert values[0] < values[-1]
    assert table["sampled"]["pass_at_k_n"] == 8


def test_records_show_each_token_with_its_probability(model: Transformer) -> None:
    answers = answer(model, TASK, TASK.prompts(6, stream(0, "p")), generator=stream(0, "s"))
    for row, record in enumerate(records(TASK, answers, list(range(6)))):
        count = int(answers.rollout.num_actions[row])
        assert len(record["response"]) == len(record["probabilities"]) == len(record["token_right"]) == count
        assert record["length"] == count - (record["response"][-1] == "<eos>")
        assert record["chain"] == all(record["token_right"])
        assert all(0 < p <= 1 for p in record["probabilities"])
        assert record["reward"] is None
