import pytest
import torch

from chainlift.learning import reward
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings

TASK = RunningSum(RunningSumSettings(d=4))
PROMPT = torch.tensor([[1, 0, 1, 1]])  # chain 1 1 0 1
RESPONSES = {
    "gold chain": ([1, 1, 0, 1, 2], 1, 1),
    "derailed chain, right answer": ([1, 0, 0, 1, 2], 1, 0),
    "derailed chain, wrong answer": ([1, 0, 1, 0, 2], 0, 0),
    "right short answer": ([1, 2, 2, 2, 2], 1, 1),
    "wrong short answer": ([0, 2, 2, 2, 2], 0, 0),
    "two tokens, right answer": ([0, 1, 2, 2, 2], 1, 0),
    "unfinished": ([1, 1, 0, 1, 1], 0, 0),
    "empty": ([2, 2, 2, 2, 2], 0, 0),
}


def test_both_rewards_by_hand() -> None:
    responses = torch.tensor([tokens for tokens, _, _ in RESPONSES.values()])
    verdict = TASK.verify(PROMPT.expand(len(responses), -1), responses)
    assert reward.score(verdict, "end_to_end").tolist() == [end for _, end, _ in RESPONSES.values()]
    assert reward.score(verdict, "chain").tolist() == [chain for _, _, chain in RESPONSES.values()]


def test_steps_pays_a_right_answer_by_the_share_of_right_steps() -> None:
    """Derailed at 1 0 0 1: 1 follows, 0 and 0 do not (1 + 0 = 1, 0 + 1 = 1), the last 1 does (0 + 1): two of four."""
    responses = torch.tensor([tokens for tokens, _, _ in RESPONSES.values()])
    verdict = TASK.verify(PROMPT.expand(len(responses), -1), responses)
    assert reward.score(verdict, "steps").tolist() == [1.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_the_length_penalty_is_subtracted() -> None:
    verdict = TASK.verify(PROMPT, torch.tensor([[1, 1, 0, 1, 2]]))
    raw = reward.score(verdict, "end_to_end")
    assert reward.shaped(raw, verdict, length_penalty=0.5, max_length=4).item() == 0.5
    assert raw.item() == 1


def test_an_unknown_reward_is_named() -> None:
    with pytest.raises(ValueError, match="reward 'chian' is not known, did you mean 'chain'"):
        reward.REWARDS.find("chian")
