"""Kinds of stage by name: a shipped one is a file in stages/kinds/, and being there is all that makes it known."""

import pytest

from chainlift.stages import kind_registry
from chainlift.stages.kinds.ntp import NextTokenPrediction
from chainlift.stages.kinds.rl import ReinforcementLearning


def test_shipped_kinds_are_found_by_the_name_of_their_file() -> None:
    assert {"ntp", "rl", "ppo", "dpo"} <= set(kind_registry.KINDS.names())
    assert kind_registry.find("ntp") is NextTokenPrediction
    assert kind_registry.find("rl") is ReinforcementLearning
    assert all(kind_registry.find(name).model_fields["kind"].default == name for name in kind_registry.KINDS.names())


@pytest.mark.parametrize("name", ["recipe", "stage", "timing", "__init__", "os", "rl.py", ""])
def test_a_file_without_a_kind_of_its_name_makes_none(name: str) -> None:
    """timing and recipe import the class of another kind, and stage has the base class."""
    with pytest.raises(ValueError, match="is not known"):
        kind_registry.find(name)


def test_a_misspelled_kind_names_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"kind of stage 'rll' is not known, did you mean 'rl'.*known: .*ntp, .*rl, .*or package"
    ):
        kind_registry.find("rll")
