"""The engine against its peers and against this machine's limit, in one run, as ratios.

    python -m benchmarks.engine [--runs runs] [--seed 0] [--repeats 9] [--threads 2] [--json FILE]

The headline recipe's finished run gives the sizes and two states of one model: early (after next-token prediction, most
responses short) and late (after RL, all of length d). Ours and the peer take turns, repetition by repetition, and each
ratio is a median over the pairs, so that a machine whose speed drifts misleads neither. Ours also runs with one saving
at a time switched off.

Late, a trained policy earns nearly every reward, and our update skips rows without advantage. So the late state is
timed twice: as it is, and with rewards that are coin flips, where nearly every group has signal and no row is skipped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks import peers
from benchmarks.limit import matmul_rate, needed_flops, seconds
from chainlift.learning import advantage, next_token, objective, rollout
from chainlift.learning.likelihood import log_probs
from chainlift.learning.optimiser import OptimiserSettings, apply_gradients, make_optimiser
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.models import hub
from chainlift.models.protocol import split_prompts
from chainlift.models.transformer import Transformer
from chainlift.recipe import Recipe, load
from chainlift.runs import checkpoint, environment
from chainlift.seeding import stream
from chainlift.tasks import mixture
from chainlift.tasks.base import Task
from chainlift.tasks.mixture import MixtureBatch

OPTIMISER = OptimiserSettings(lr=1e-6, warmup=0, schedule="constant")  # the models stay in the states they came in
Action = Callable[[int], object]


def batch_number(recipe: Recipe, task: Task, step: int) -> MixtureBatch:
    """Batch `step` of the recipe's stage 1."""
    return mixture.draw(task, recipe.mixture, recipe.pretrain.batch_size, seed=0, name="benchmark", step=step)


def stage_1(recipe: Recipe, task: Task, model: Transformer, *, whole: bool = False) -> Action:
    """One update of stage 1; `whole` reads sequences from their first token on, in one padded batch."""
    optimiser = make_optimiser(model, OPTIMISER)

    def update(step: int) -> None:
        batch = batch_number(recipe, task, step)
        if whole:
            loss = padded_loss(model, batch, task.vocabulary.eos)
        else:
            loss, _ = next_token.loss(model, batch, "token_mean")
        loss.backward()
        apply_gradients(model, optimiser, OPTIMISER, step, 10**6)

    return update


def padded_loss(model: Transformer, batch: MixtureBatch, eos: int) -> Tensor:
    """The same loss with neither prefix nor buckets."""
    tokens, labels = peers.pad(batch, eos)
    logits = model.logits(model.prefill(tokens[:, :0]), tokens[:, :-1])
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=peers.IGNORED)


def rl_update(
    task: Task,
    model: Transformer,
    shape: tuple[int, int],
    *,
    coins: bool,
    share_prompts: bool = True,
    old_logp_pass: bool = False,
) -> Action:
    """One GRPO update of `shape` (prompts, samples of each): rollout, reward, advantage, loss, step.

    `coins`: rewards are coin flips (see above).
    """
    num_prompts, group_size = shape
    optimiser, grpo = make_optimiser(model, OPTIMISER), objective.PRESETS["grpo"]

    def update(step: int) -> None:
        prompts = task.prompts(num_prompts, stream(0, "benchmark/prompts", step))
        if not share_prompts:
            prompts = prompts.repeat_interleave(group_size, dim=0)
        found = rollout.sample(
            model,
            prompts,
            eos=task.vocabulary.eos,
            max_tokens=task.long_length + 1,
            group_size=group_size if share_prompts else 1,
            generator=stream(0, "benchmark/samples", step),
        )
        rewards = task.verify(found.row_prompts, found.responses).answer.float()
        if coins:
            rewards = torch.randint(2, rewards.shape, generator=stream(0, "benchmark/coins", step)).float()
        gains = advantage.estimate(rewards.view(shape), grpo.advantage).flatten()
        weights = objective.sequence_weights(found.num_actions, grpo.aggregate, max_length=task.long_length + 1)
        if old_logp_pass:
            with torch.no_grad():
                prefix, last = split_prompts(found.prompts)
                log_probs(model, model.prefill(prefix), last, found.responses, found.rows)
        accumulate_gradient(model, PolicyBatch(found, gains, weights, on_policy=True), grpo, temperature=1.0)
        apply_gradients(model, optimiser, OPTIMISER, step, 10**6)

    return update


def in_turn(actions: dict[str, Callable[[int], float]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each action, repetition by repetition in turn, the first round left out."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for repeat in range(repeats + 1):
        for name, action in actions.items():
            found[name].append(action(repeat))
    return {name: values[1:] for name, values in found.items()}


def timed(action: Action) -> Callable[[int], float]:
    """The action as one that returns its seconds."""
    return lambda step: seconds(lambda: action(step))


def with_constant(action: Action, module: Any, name: str, value: object) -> Callable[[int], float]:
    """Like `timed`, under another value of a module's constant."""

    def run(step: int) -> float:
        with mock.patch.object(module, name, value):
            return seconds(lambda: action(step))

    return run


def measure(recipe: Recipe, run: Path, repeats: int) -> dict[str, Any]:
    """Seconds of every action at the recipe's sizes, on its finished run, and the share of the machine's limit."""
    assert recipe.posttrain is not None
    shape = recipe.posttrain.prompts, recipe.posttrain.group_size
    states = {}
    for name, stage in (("early", "pretrain"), ("late", "posttrain")):
        folder = checkpoint.latest(run / "checkpoints", stage)
        if folder is None:
            raise SystemExit(f"{run} has no checkpoint of {stage}; run first: chainlift run headline")
        states[name] = folder
    model, task = hub.load(states["early"])
    assert isinstance(model, Transformer)
    size = peers.Size(
        model.settings.layers, model.settings.width, model.settings.heads, task.vocabulary.size, model.context
    )

    def gpt2(step: int) -> float:
        return peers.gpt2_step(size, [batch_number(recipe, task, step)] * 2, task.vocabulary.eos)[0]

    found: dict[str, Any] = {"environment": environment.describe("cpu"), "repeats": repeats, "shape": shape}
    found["stage 1"] = in_turn(
        {
            "ours": timed(stage_1(recipe, task, model)),
            "ours, whole padded sequences": timed(stage_1(recipe, task, model, whole=True)),
            "transformers GPT-2, padded": gpt2,
        },
        repeats,
    )
    for name, coins in (("early", False), ("late", False), ("late", True)):
        folder = states[name]
        policy = hub.load(folder)[0]
        assert isinstance(policy, Transformer)
        trl = lambda step, folder=folder: peers.trl_update(  # noqa: E731
            folder,
            torch.cat([task.prompts(shape[0], stream(0, "benchmark/prompts", step))] * 2),
            group_size=shape[1],
            max_tokens=task.long_length + 1,
            updates=2,
        )[0]
        found[f"RL update, {name}{', rewards of coin flips' if coins else ''}"] = in_turn(
            {
                "ours": timed(rl_update(task, policy, shape, coins=coins)),
                "ours, prompts not shared": timed(rl_update(task, policy, shape, coins=coins, share_prompts=False)),
                "ours, finished rows stay": with_constant(
                    rl_update(task, policy, shape, coins=coins), rollout, "COMPACT_BELOW", 0.0
                ),
                "ours, extra pass for old log-probabilities": timed(
                    rl_update(task, policy, shape, coins=coins, old_logp_pass=True)
                ),
                "TRL GRPOTrainer": trl,
            },
            repeats,
        )
    flops = needed_flops(task, model, recipe.pretrain.batch_size, recipe.mixture.p_cot)
    rate = matmul_rate(model.settings.width)
    found["limit"] = {
        "needed_gflop": flops / 1e9,
        "matmul_gflop_per_second": rate / 1e9,
        "share_of_limit": flops / rate / statistics.median(found["stage 1"]["ours"]),
    }
    return found


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The figures as lines of text."""
    for group, timings in found.items():
        if not isinstance(timings, dict) or "ours" not in timings:
            continue
        yield f"{group}: ours {statistics.median(timings['ours']) * 1e3:.0f} ms"
        for name, values in timings.items():
            if name != "ours":
                ratios = [value / own for value, own in zip(values, timings["ours"], strict=True)]
                median, low, high = statistics.median(ratios), min(ratios), max(ratios)
                yield f"  {name}: {median:.2f} times ours [{low:.2f}, {high:.2f}]"
    limit = found["limit"]
    yield (
        f"limit: stage 1 needs {limit['needed_gflop']:.1f} GFLOP; at {limit['matmul_gflop_per_second']:.0f} GFLOP/s "
        f"of plain matrix products we reach {limit['share_of_limit']:.0%}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder that holds headline's run")
    parser.add_argument("--seed", type=int, default=0, help="of that run")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None, help="also write all timings here")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    recipe = load("headline", seed=arguments.seed)
    found = measure(recipe, arguments.runs / recipe.run_id, arguments.repeats)
    print("\n".join(lines(found)))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
