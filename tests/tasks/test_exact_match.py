"""The verifier by gold responses, by hand."""

import pytest
import torch

from chainlift.tasks.exact_match import compare
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings

TASK = RunningSum(RunningSumSettings(d=4, modulus=3))
PROMPT = "1202"  # chain 1002, answer 2


@pytest.mark.parametrize(
    ("response", "answer", "chain", "steps", "steps_right"),
    [
        ("1002.", True, True, 4, 4),
        ("2.", True, True, 0, 0),
        ("1.", False, False, 0, 0),
        ("10.", False, False, 2, 2),  # right as far as it goes, and no chain
        ("1012.", True, False, 4, 3),
        ("10022.", True, False, 5, 4),
        ("100222", False, False, 5, 4),  # without an end
        (".", False, False, 0, 0),
    ],
)
def test_each_form_of_a_response(response: str, answer: bool, chain: bool, steps: int, steps_right: int) -> None:
    tokens = [TASK.vocabulary.eos if token == "." else int(token) for token in response.ljust(6, ".")]
    found = compare(TASK, TASK.vocabulary.encode(PROMPT)[None], torch.tensor([tokens]))
    assert (bool(found.answer_correct), bool(found.chain_correct)) == (answer, chain)
    assert (int(found.steps), int(found.steps_right)) == (steps, steps_right)
    assert int(found.length) == len(response.partition(".")[0])
    assert bool(found.finished) == ("." in response)
