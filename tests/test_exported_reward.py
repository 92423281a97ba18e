"""Rewards of text are those of the tokens that it stands for."""

from typing import Any

import pytest
import torch

from chainlift.interop.reward import TextReward
from chainlift.learning.reward import REWARDS
from chainlift.seeding import stream
from chainlift.tasks import registry
from chainlift.tasks.base import Verdict

TASKS: list[dict[str, Any]] = [
    {"name": "running_sum", "d": 6},
    {"name": "running_sum", "d": 6, "modulus": 12},  # tokens of several characters
    {"name": "running_sum", "d": 6, "d_min": 3, "marker": "both"},
    {"name": "multiplication"},
    {"name": "graph_path"},
]


@pytest.mark.parametrize("settings", TASKS, ids=str)
@pytest.mark.parametrize("long", [False, True])
def test_gold_text_is_worth_what_gold_tokens_are(settings: dict[str, Any], long: bool) -> None:
    task = registry.build(registry.settings_class(settings["name"])(**settings))
    prompts = task.prompts(20, stream(0, "test/prompts"))
    gold = task.gold(prompts, long=long)
    other = task.gold(task.prompts(20, stream(1, "test/prompts")), long=long)  # answers to other prompts
    asked = [task.vocabulary.decode(prompt) for prompt in prompts]
    for name in ("end_to_end", "chain"):
        reward = TextReward(settings, name)
        for responses in (gold, other):
            ended = [row[: row.tolist().index(task.vocabulary.eos)] for row in responses]
            texts = [task.vocabulary.separator + task.vocabulary.decode(row) for row in ended]
            expected = REWARDS.find(name)(task.verify(prompts, responses)).tolist()
            assert reward(asked, texts) == expected
            one_by_one = [reward.compute_score("", t, "", {"prompt": a}) for a, t in zip(asked, texts, strict=True)]
            assert one_by_one == expected
            chats = [[{"role": "user", "content": one}] for one in asked]
            assert reward(chats, [[{"role": "assistant", "content": one}] for one in texts]) == expected


def test_what_is_cut_off_or_no_token_is_worth_nothing() -> None:
    reward = TextReward({"name": "running_sum", "d": 4})
    assert reward(["1011"] * 6, ["1", "1101", "0", "11111", "x", ""]) == [1, 1, 0, 0, 0, 0]
    assert reward(["1011"], ["1<eos>"]) == [1]


def test_the_reward_does_not_depend_on_what_stands_beside_it() -> None:
    settings = {"name": "running_sum", "d": 8}
    reward, task = TextReward(settings), registry.build(registry.settings_class("running_sum")(**settings))
    prompts = task.prompts(30, stream(0, "test/prompts"))
    asked = [task.vocabulary.decode(prompt) for prompt in prompts]
    answers = ["01"[int(bit)] for bit in torch.randint(2, (30,), generator=stream(0, "test/answers"))]
    together = reward(asked, answers)
    assert together == [reward([a], [b])[0] for a, b in zip(asked, answers, strict=True)]
    assert 0 < sum(together) < 30


WORDS: dict[str, Any] = {"name": "word_problems"}


def test_a_task_of_text_is_judged_by_its_grader_against_the_answer_beside_it() -> None:
    reward = TextReward(WORDS)
    asked, texts = ["Question: 3 + 4?\nAnswer:"] * 5, [" 3 + 4 = 7\n#### 7", " #### 7", " #### 8", " so 7", ""]
    expected = [1.0, 1.0, 0.0, 1.0, 0.0]
    assert reward(asked, texts, answer=["7"] * 5) == expected
    assert [reward.compute_score("", text, "7") for text in texts] == expected
    chats = [[{"role": "user", "content": one}] for one in asked]
    assert reward(chats, [[{"role": "assistant", "content": one}] for one in texts], answer=["7"] * 5) == expected
    assert reward(asked[:2], texts[:2], answer=["7", "8"]) == [1.0, 0.0]


def test_template_and_grader_of_the_settings_are_those_that_judge() -> None:
    marked = TextReward(WORDS | {"template": {"answer_mark": "Answer:"}})
    assert marked(["?"], ["#### 5 Answer: 6"], answer=["6"]) == [1.0]
    with pytest.raises(ValueError, match=r"'x\+1' is not a number; use task\.grader=math"):
        TextReward(WORDS)(["?"], ["#### x+1"], answer=["x+1"])


def brief(verdict: Verdict) -> torch.Tensor:
    """A reward of one's own: right and short."""
    return (verdict.answer_correct & ~verdict.long).float()


def test_the_named_reward_sees_the_verdict_on_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REWARDS, "_pieces", dict(REWARDS._pieces))
    REWARDS.register("brief", brief)
    texts = [" #### 7", " 3 + 4 = 7\n#### 7", " #### 8"]
    assert TextReward(WORDS, "brief")(["?"] * 3, texts, answer=["7"] * 3) == [1, 0, 0]


def test_a_response_of_symbols_without_its_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^compute_score: extra_info has no prompt"):
        TextReward({"name": "running_sum", "d": 4}).compute_score("", "1", "1")
