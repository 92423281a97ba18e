"""How many prompts a task has, by hand and by drawing them; no evaluation prompt is in training where that is said."""

import math
from typing import Any

import pytest
import torch

from chainlift.seeding import stream
from chainlift.stages import recipe
from chainlift.tasks import mixture, registry
from chainlift.tasks.base import HoldsOut, Task, held_out
from chainlift.tasks.freshness import Freshness, freshness, seen_share

TRAINING = ("pretrain/prompts", "posttrain/prompts", "preflight/prompts")


def task(**settings: Any) -> Task:
    return registry.build(recipe.build({"task": settings, "mixture": {"p_cot": 0}}).task)


@pytest.mark.parametrize(
    ("settings", "different"),
    [
        ({"name": "running_sum", "d": 8, "modulus": 2}, 256),
        ({"name": "running_sum", "d": 3, "modulus": 5}, 125),
        ({"name": "running_sum", "d": 6, "sparse": 2}, 64),
        ({"name": "running_sum", "d": 5, "d_min": 3}, 8 + 16 + 32),
        ({"name": "running_sum", "d": 50}, 2**50),
        ({"name": "running_sum", "d": 1000}, None),
        ({"name": "permutation", "d": 3}, 6**3),
        ({"name": "permutation", "d": 2, "degree": 5}, 120**2),
        # Two paths of 3 nodes: 6!/2 ways to name them, 4! orders of the edges, 2 starts.
        ({"name": "graph_path", "hops": 2, "width": 1, "branching": 1}, 360 * 24 * 2),
        ({"name": "graph_path", "hops": 2, "width": 1, "branching": 1, "question": "reach"}, 360 * 24 * 2 * 2),
        ({"name": "graph_path"}, None),
    ],
)
def test_the_number_of_prompts(settings: dict[str, Any], different: int | None) -> None:
    assert freshness(task(**settings), 0) == Freshness(False, different, 0.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "running_sum", "d": 5, "d_min": 3},
        {"name": "permutation", "d": 3},
        {"name": "graph_path", "hops": 2, "width": 1, "branching": 1, "question": "reach", "ends": 2},
        {"name": "graph_path", "hops": 2, "width": 2, "branching": 1, "ends": 2},
    ],
)
def test_the_share_seen_is_what_is_counted(settings: dict[str, Any]) -> None:
    """Of prompts drawn anew as many are among those drawn before as the rule says, within four standard errors."""
    drawn = task(**settings)
    groups = drawn.prompt_counts()  # pyright: ignore[reportAttributeAccessIssue]
    n = min(round(0.7 * sum(count for _, count in groups)), 40_000)
    before = set(map(tuple, drawn.prompts(n, stream(0, "before")).tolist()))
    again = list(map(tuple, drawn.prompts(4000, stream(0, "again")).tolist()))
    share, seen = seen_share(groups, n), sum(prompt in before for prompt in again) / len(again)
    assert seen == pytest.approx(share, abs=max(4 * math.sqrt(share * (1 - share) / len(again)), 1e-6) + 2 / n**0.5)


def test_the_share_by_hand() -> None:
    assert seen_share(((1.0, 256),), 0) == 0
    assert seen_share(((1.0, 256),), 1) == pytest.approx(1 / 256)
    assert seen_share(((1.0, 256),), 256) == pytest.approx(1 - (255 / 256) ** 256)
    assert seen_share(((0.5, 2), (0.5, 4)), 3) == pytest.approx(0.5 * (1 - 0.75**3) + 0.5 * (1 - 0.875**3))
    assert seen_share(((1.0, 1),), 1) == 1
    assert seen_share(((1.0, 1000**4096),), 10**12) == 0


def test_what_is_not_known_is_not_told() -> None:
    class Unknown:
        def prompts(self, n: int, generator: torch.Generator) -> torch.Tensor: ...

    assert freshness(Unknown(), 100) == Freshness(False, None, None)  # pyright: ignore[reportArgumentType]
    assert freshness(task(name="running_sum", d=8), None) == Freshness(False, 256, None)


def held_out_settings(name: str) -> dict[str, Any]:
    if name == "reasoning_gym":
        pytest.importorskip("reasoning_gym")
        return {"name": name, "options": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}}
    return {"name": name, "n": 1 if name == "multiplication" else 2}


@pytest.mark.parametrize("name", ["multiplication", "reasoning_gym"])
def test_held_out_prompts_are_in_no_stream_of_training(name: str) -> None:
    trained = task(**held_out_settings(name))
    assert isinstance(trained, HoldsOut)
    assert freshness(trained, 10**9) == Freshness(True, None, 0.0)
    seen = set()
    for stage in TRAINING:
        seen |= set(map(tuple, trained.prompts(300, stream(0, stage, 1)).tolist()))
    batch = mixture.draw(trained, mixture.MixtureSettings(p_cot=0), 300, seed=0, name="continued_pretrain", step=0)
    seen |= {tuple(row) for part in batch.parts for row in part.prompts.tolist()}
    measured = set(map(tuple, held_out(trained).prompts(300, stream(0, "pretrain/evaluate/prompts")).tolist()))
    assert measured
    assert not measured & seen
