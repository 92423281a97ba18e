"""The reward function that TRL is given, on responses written by hand."""

from pathlib import Path

import pytest

from chainlift.stages.kinds.trl_rl import TextReinforcementLearning
from chainlift.stages.trl.reward import Reward
from tests.stages.trl.small_text import context, small

EOS = 7


def test_a_response_is_right_once_it_has_ended_and_its_length_leaves_the_end_out(tmp_path: Path) -> None:
    """Two groups of two: right and long; right, but cut off; right and short; wrong."""
    recipe = small("posttrain.group_size=2")
    stage = recipe.stages["posttrain"]
    assert isinstance(stage, TextReinforcementLearning)
    texts = [" Two and two.\n#### 4", " Two and two.\n#### 4", " #### 4", " #### 5"]
    ids = [[1, 2, 3, 4, 5, EOS], [1, 2, 3, 4, 5], [1, 2, EOS], [1, 3, EOS]]
    logged: dict[str, float] = {}
    reward = Reward(context(tmp_path, recipe), stage, EOS)
    assert reward(["?"] * 4, list(texts), ids, ["4"] * 4, logged.__setitem__) == [1, 0, 1, 0]
    assert logged == {
        "answer_right": 0.5,
        "long_share": 0.5,
        "length_mean": pytest.approx((5 + 5 + 2 + 2) / 4),
        "unfinished_share": 0.25,
        "groups_all_right": 0,
        "groups_all_wrong": 0,
        "groups_mixed": 1,
    }
