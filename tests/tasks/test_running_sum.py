import torch

from chainlift.tasks.running_sum import RunningSum, RunningSumSettings


def test_hand_computed_parity() -> None:
    task = RunningSum(RunningSumSettings(d=4))
    prompts = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0]])
    assert task.gold(prompts, long=True).tolist() == [[1, 1, 0, 1, 2], [0, 0, 0, 0, 2]]
    assert task.gold(prompts, long=False).tolist() == [[1, 2], [0, 2]]


def test_hand_computed_sum_modulo_three() -> None:
    task = RunningSum(RunningSumSettings(d=3, modulus=3))
    prompts = torch.tensor([[2, 2, 1]])
    assert task.gold(prompts, long=True).tolist() == [[2, 1, 2, 3]]
    assert task.vocabulary.tokens == ("0", "1", "2", "<eos>")


def test_steps_are_judged_by_the_responses_own_previous_token() -> None:
    task = RunningSum(RunningSumSettings(d=4))
    prompts = torch.tensor([[1, 0, 1, 1]])  # gold 1 1 0 1
    derailed = torch.tensor([[1, 0, 1, 0, 2]])  # wrong from the second step on, which alone does not follow
    verdict = task.verify(prompts, derailed)
    assert verdict.steps.item() == 4
    assert verdict.steps_right.item() == 3
    assert not verdict.answer.item()


def test_the_last_token_counts_whatever_the_length() -> None:
    task = RunningSum(RunningSumSettings(d=4))
    prompts = torch.tensor([[1, 0, 1, 1]])
    verdict = task.verify(prompts, torch.tensor([[0, 1, 2, 2, 2]]))  # "0 1 <eos>"
    assert verdict.answer.item()
    assert not verdict.chain.item()
    assert verdict.length.item() == 2
