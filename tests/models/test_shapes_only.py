"""Models without values: the shapes are those of a real one, and nothing slow is imported for them."""

import subprocess
import sys

import pytest
import torch

from chainlift.models import families
from chainlift.models.linear import LinearSettings
from chainlift.models.shapes import shapes_only
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.llama_settings import LlamaSettings


@pytest.mark.parametrize(
    "settings",
    [
        ModelSettings(family="gpt2"),
        ModelSettings(family="mistral"),
        LinearSettings(family="linear"),
        LlamaSettings(weights="bfloat16"),
    ],
)
def test_it_has_the_shapes_of_a_real_model_and_no_values(settings: ModelSettings | LinearSettings) -> None:
    with shapes_only():
        without = families.of_size(settings, vocabulary_size=7, context=25)
    real = families.of_size(settings, vocabulary_size=7, context=25)
    assert {name: value.shape for name, value in without.state_dict().items()} == {
        name: value.shape for name, value in real.state_dict().items()
    }
    assert all(parameter.is_meta for parameter in without.parameters())
    with pytest.raises(RuntimeError, match="meta"):
        next(without.parameters()).sum().item()


def test_a_draw_outside_is_made_as_before() -> None:
    with shapes_only():
        pass
    value = torch.zeros(100)
    torch.nn.init.normal_(value)
    assert value.std() > 0.5


def test_nothing_slow_is_imported() -> None:
    """torch._dynamo takes seconds to import, and a draw on the meta device imports it."""
    code = """
import sys
from chainlift.models import families
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.models.shapes import shapes_only
with shapes_only():
    families.of_size(ModelSettings(), vocabulary_size=7, context=25)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
