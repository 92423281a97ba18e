"""Actions that do not depend on what a model has learned: every response is a random one, as long as a full chain.

Both sides do the same: an update on given rows, and a token at a time through given rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from chainlift.bench.flops import LEARNING
from chainlift.bench.ours import Engine, asked, in_one_part
from chainlift.bench.timing import Doing, Work
from chainlift.learning.objective import sequence_weights
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import PRESETS
from chainlift.learning.rollout import Rollout
from chainlift.models.protocol import split_prompts
from chainlift.seeding import stream
from chainlift.tasks.base import Demonstrations, Task
from chainlift.tasks.mixture import MixtureBatch


def random_rollout(task: Task, num_prompts: int, group_size: int, step: int) -> Rollout:
    """A rollout whose responses are any tokens but EOS, and EOS after as many as a full chain has."""
    prompts = asked(task, num_prompts, step)
    rows = torch.arange(num_prompts).repeat_interleave(group_size)
    eos = task.vocabulary.eos
    drawn = torch.randint(eos, (len(rows), task.long_length), generator=stream(0, "bench/responses", step))
    responses = F.pad(drawn, (0, 1), value=eos)
    num_actions = torch.full((len(rows),), responses.shape[1])
    return Rollout(prompts, rows, responses, torch.zeros(responses.shape), num_actions, torch.zeros(()))


def as_batch(rollout: Rollout) -> MixtureBatch:
    """The rollout's rows as demonstrations, for a peer."""
    return in_one_part(Demonstrations(rollout.row_prompts, rollout.responses, rollout.mask))


def update(engine: Engine, num_prompts: int, group_size: int) -> Doing:
    """A policy update in which every row counts; no sampling of its own."""
    preset = PRESETS["grpo"]

    def act(step: int) -> Callable[[], Work]:
        rollout = _on_device(random_rollout(engine.task, num_prompts, group_size, step), engine.machine.device)
        weights = sequence_weights(rollout.num_actions, preset.aggregate, max_length=engine.task.long_length + 1)
        batch = PolicyBatch(rollout, torch.ones_like(weights), weights, on_policy=True)
        with engine.machine.autocast():
            accumulate_gradient(engine.model, batch, preset, temperature=1.0)
        engine.apply(step)
        everything = torch.ones_like(weights, dtype=torch.bool)
        return lambda: Work(len(weights), rollout.num_tokens, LEARNING * engine.through(rollout, everything))

    return act


def decode(engine: Engine, num_prompts: int, group_size: int) -> Doing:
    """Prompts read, then token by token through the responses."""

    @torch.no_grad()
    def act(step: int) -> Callable[[], Work]:
        rollout = _on_device(random_rollout(engine.task, num_prompts, group_size, step), engine.machine.device)
        prefix, last = split_prompts(rollout.prompts)
        with engine.machine.autocast():
            decoder = engine.model.decoder(engine.model.prefill(prefix), rollout.responses.shape[1])
            decoder.step(last[:, 0])
            decoder.spread(group_size)
            for column in rollout.responses[:, :-1].unbind(dim=1):
                decoder.step(column)
        return lambda: engine.sampled(rollout)

    return act


def _on_device(rollout: Rollout, device: str) -> Rollout:
    """The rollout with its tensors there."""
    return Rollout(**{name: value.to(device) for name, value in vars(rollout).items()})
