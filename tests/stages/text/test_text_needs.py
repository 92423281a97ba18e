"""Bytes that a weight needs, by hand: stored, trained, in bfloat16, frozen below adapters."""

from pathlib import Path

import pytest

from chainlift.models import families
from chainlift.stages.planning import needs
from tests.stages.text.small_engine_text import small


@pytest.mark.parametrize(
    ("override", "on_cpu", "on_gpu"),
    [
        ("model.weights=float32", 4 + 4 + 8, 4),  # itself, its gradient, AdamW's averages
        ("model.weights=bfloat16", 2 + 4 + 4 + 8, 2),  # and a master
        ("model.lora={rank: 2}", 4, 4),
        ("model={weights: bfloat16, lora: {rank: 2}, family: llama}", 2, 2),
    ],
)
def test_bytes_of_a_weight(override: str, on_cpu: int, on_gpu: int, tmp_path: Path) -> None:
    recipe = small(tmp_path, override)
    num = families.fewest_parameters(recipe.model, 999)
    assert num > 0
    assert needs.bytes_of(recipe, "cpu")["model"] == on_cpu * num
    assert needs.bytes_of(recipe, "cuda")["model"] == on_gpu * num
