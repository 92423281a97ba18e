"""What every kind of RL must do: lift `tiny`, and refuse in one line what it lacks."""

import json

from tests.in_process import Ended, command


def refused(ended: Ended, told: str) -> None:
    """A command ended in one line that says so."""
    assert ended.status == 2
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1


def lifts_tiny(stage: str) -> None:
    """Greedy answers are a coin flip after next-token prediction, and right after the stage."""
    ended = command("run", "tiny", stage, "continued_pretrain=null", "threads=1", "--out", "runs", "--json")
    assert ended.status == 0, ended.err
    summary = json.loads(ended.out.splitlines()[-1])
    assert summary["pretrain"]["greedy_accuracy"] < 0.6
    assert summary["posttrain"]["greedy_accuracy"] > 0.9
    assert summary["posttrain"]["greedy_length_median"] == 8
