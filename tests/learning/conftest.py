import pytest
import torch

from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings


@pytest.fixture(params=["gpt2", "mistral"])
def model(request: pytest.FixtureRequest) -> Transformer:
    """A small model whose distributions are far from uniform, so that its responses differ in length."""
    settings = ModelSettings.model_validate({"family": request.param, "layers": 2, "width": 16, "heads": 4})
    model = Transformer(settings, 3, 13).initialize(stream(0, "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model


@pytest.fixture
def task() -> RunningSum:
    return RunningSum(RunningSumSettings(d=6))
