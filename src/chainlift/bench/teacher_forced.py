"""Actions that do not depend on what a model has learned: every response is the gold one.

Both sides do the same: an update on given rows, and a token at a time through given rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.bench.flops import LEARNING, forward
from chainlift.bench.ours import Doing, Engine, asked, autocast, in_one_part
from chainlift.bench.timing import Work
from chainlift.learning.objective import PRESETS, sequence_weights
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.rollout import Rollout
from chainlift.models.protocol import split_prompts
from chainlift.tasks.base import Demonstrations, Task, output_mask
from chainlift.tasks.mixture import MixtureBatch


def gold_rollout(task: Task, prompts: Tensor, group_size: int) -> Rollout:
    """A rollout whose every response is the long gold one."""
    rows = torch.arange(len(prompts)).repeat_interleave(group_size)
    responses = task.gold(prompts, long=True)[rows]
    num_actions = output_mask(responses, task.vocabulary.eos).sum(dim=1)
    return Rollout(prompts, rows, responses, torch.zeros(responses.shape), num_actions, torch.zeros(()))


def as_batch(rollout: Rollout) -> MixtureBatch:
    """The rollout's rows as demonstrations, for a peer."""
    return in_one_part(Demonstrations(rollout.row_prompts, rollout.responses, rollout.mask))


def update(engine: Engine, num_prompts: int, group_size: int) -> Doing:
    """A policy update in which every row counts, its sampling left out."""
    preset = PRESETS["grpo"]

    def act(step: int) -> Work:
        rollout = gold_rollout(engine.task, asked(engine.task, num_prompts, step), group_size)
        weights = sequence_weights(rollout.num_actions, preset.aggregate, max_length=engine.task.long_length + 1)
        batch = PolicyBatch(rollout, torch.ones(len(rollout.rows)), weights, on_policy=True)
        with autocast(engine.dtype):
            accumulate_gradient(engine.model, batch, preset, temperature=1.0)
        engine.apply(step)
        needed = forward(engine.sizes, num_prompts, engine.prefix_length, rollout.num_actions)
        return Work(rollout.num_tokens, LEARNING * needed)

    return act


def decode(engine: Engine, num_prompts: int, group_size: int) -> Doing:
    """Prompts read, then token by token through the responses."""

    @torch.no_grad()
    def act(step: int) -> Work:
        rollout = gold_rollout(engine.task, asked(engine.task, num_prompts, step), group_size)
        prefix, last = split_prompts(rollout.prompts)
        with autocast(engine.dtype):
            decoder = engine.model.decoder(engine.model.prefill(prefix), rollout.responses.shape[1])
            decoder.spread(group_size)
            tokens = last[rollout.rows, 0]
            for column in rollout.responses.unbind(dim=1):
                decoder.step(tokens)
                tokens = column
        needed = forward(engine.sizes, num_prompts, engine.prefix_length, rollout.num_actions)
        return Work(int(rollout.num_actions.sum()), needed)

    return act
