"""Kinds of stage by name: a shipped one is a file in stages/, and being there is all that makes it known."""

import pytest

from chainlift.stages import kinds
from chainlift.stages.ntp import NextTokenPrediction
from chainlift.stages.rl import ReinforcementLearning


def test_shipped_kinds_are_found_by_the_name_of_their_file() -> None:
    assert {"ntp", "rl", "ppo", "dpo"} <= set(kinds.KINDS.names())
    assert kinds.find("ntp") is NextTokenPrediction
    assert kinds.find("rl") is ReinforcementLearning
    assert all(kinds.find(name).model_fields["kind"].default == name for name in kinds.KINDS.names())


@pytest.mark.parametrize("name", ["recipe", "stage", "timing", "__init__", "os", "rl.py", ""])
def test_a_file_without_a_kind_of_its_name_makes_none(name: str) -> None:
    """timing and recipe import the class of another kind, and stage has the base class."""
    with pytest.raises(ValueError, match="is not known"):
        kinds.find(name)


def test_a_misspelled_kind_names_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"kind of stage 'rll' is not known, did you mean 'rl'.*known: .*ntp, .*rl, .*or package"
    ):
        kinds.find("rll")
