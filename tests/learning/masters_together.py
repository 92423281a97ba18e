"""What each process of a test in test_master_weights.py runs under torchrun: a few updates on its shards of batches.

python masters_together.py OUT
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from chainlift import distributed
from chainlift.learning import master_weights, next_token, parallel
from chainlift.learning.optimizer import OptimizerSettings, apply_gradients, make_optimizer
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.tasks import mixture
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings


def train(steps: int = 5) -> dict[str, Tensor]:
    """Masters by name after some updates by plain gradient steps."""
    settings = OptimizerSettings(optimizer="sgd", lr=1e-2, schedule="constant", warmup=0)
    model = Transformer(ModelSettings(width=16, heads=2), 3, 9).initialize(stream(0, "model")).to(torch.bfloat16)
    optimizer, task = make_optimizer(model, settings), RunningSum(RunningSumSettings(d=4))
    for step in range(steps):
        batch = mixture.draw(task, MixtureSettings(p_cot=0.5), 9, seed=0, name="test", step=step)
        local = parallel.local_demonstrations(batch)
        next_token.accumulate_gradient(model, local, "token_mean", whole=batch)
        parallel.sum_gradients(model)
        apply_gradients(model, optimizer, settings, step, steps)
    return {name: master.detach().clone() for name, master in master_weights.trained(model).items()}


if __name__ == "__main__":
    distributed.join(torch.device("cpu"))
    torch.save(train(), Path(sys.argv[1]) / f"{distributed.rank()}.pt")
