"""What only a machine with a GPU can tell; docs/scaling.md names the command. Elsewhere all of it is skipped."""

from pathlib import Path

import pytest
import torch

from chainlift.learning import next_token, rollout
from chainlift.learning.likelihood import log_probs
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.cuda_graphs import replaying
from chainlift.models.transformer.transformer import Transformer
from chainlift.report.terminal.reporter import Reporter
from chainlift.seeding import stream
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from chainlift.tasks import mixture
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
D = 12


@pytest.fixture(params=["gpt2", "mistral"])
def model(request: pytest.FixtureRequest) -> Transformer:
    settings = ModelSettings.model_validate({"family": request.param, "layers": 2, "width": 64, "heads": 4})
    return Transformer(settings, 3, 2 * D + 1).initialize(stream(0, "model")).cuda()


@pytest.fixture
def task() -> RunningSum:
    return RunningSum(RunningSumSettings(d=D))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-3), (torch.bfloat16, 5e-2)])
def test_the_loss_is_that_of_the_cpu(
    model: Transformer, task: RunningSum, dtype: torch.dtype, tolerance: float
) -> None:
    batch = mixture.draw(task, MixtureSettings(p_cot=0.5), 256, seed=0, name="cuda", step=0)
    with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.bfloat16):
        there = next_token.loss(model, batch, "token_mean")[0].item()
    assert there == pytest.approx(next_token.loss(model.cpu(), batch, "token_mean")[0].item(), abs=tolerance)


@pytest.mark.parametrize("group_size", [1, 4])
def test_replayed_steps_sample_what_a_forward_pass_scores(
    model: Transformer, task: RunningSum, group_size: int
) -> None:
    with replaying(after=0):
        found = rollout.sample(
            model,
            task.prompts(64, stream(0, "prompts")).cuda(),
            eos=2,
            max_tokens=D + 1,
            group_size=group_size,
            generator=stream(0, "samples"),
        )
    prefix, last = split_prompts(found.prompts)
    with torch.no_grad():
        scored = log_probs(model, model.prefill(prefix), last, found.responses, found.rows)
    torch.testing.assert_close(found.logp[found.mask], scored[found.mask], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("more", [[], ["dtype=bfloat16"], ["compile=true"]])
def test_a_whole_run(recipe: Path, tmp_path: Path, more: list[str]) -> None:
    chosen = recipes.load(str(recipe), ["device=cuda", *more])
    done = pipeline.run(chosen, tmp_path / "runs", Reporter(quiet=True))
    assert done.summary["posttrain"]["prompts"] == 64
