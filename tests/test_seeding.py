import torch

from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import derive, stream
from chainlift.tasks import mixture
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings


def test_a_stream_is_fixed_by_seed_name_and_index() -> None:
    # Recorded once: a change here changes every run's data, so it needs a major version.
    assert derive(0, "pretrain/prompts", 3) == derive(0, "pretrain/prompts", 3)
    assert derive(0, "a") == int.from_bytes(__import__("hashlib").blake2b(b"0/a", digest_size=8).digest(), "big") >> 1
    first, again = (torch.rand(5, generator=stream(7, "x", 1)) for _ in range(2))
    assert torch.equal(first, again)


def test_names_seeds_and_indices_give_different_streams() -> None:
    paths = [
        (0, "a"),
        (1, "a"),
        (0, "b"),
        (0, "a", 0),
        (0, "a", 1),
        (0, "a", 0, 1),
        (0, "a", 1, 0),
        (10, "a"),
        (1, "0/a"),
    ]
    assert len({derive(*path) for path in paths}) == len(paths)


def test_the_models_width_and_evaluations_leave_the_data_alone() -> None:
    task = RunningSum(RunningSumSettings(d=6))

    def bytes_after(width: int, extra_draws: int) -> bytes:
        Transformer(ModelSettings(width=width), 3, 13).initialize(stream(0, "model"))
        task.prompts(extra_draws, stream(0, "pretrain/evaluate/prompts", 0))
        batch = mixture.draw(task, MixtureSettings(), 32, seed=0, name="pretrain", step=5)
        return batch.short.prompts.numpy().tobytes() + batch.long.responses.numpy().tobytes()

    assert bytes_after(16, 1) == bytes_after(64, 1000)
