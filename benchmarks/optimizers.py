"""Steps of next-token prediction until chains are exact, by optimizer: `python -m benchmarks.optimizers [NAME...]`.

It uses the headline's model and demonstrations, with a constant rate after the warm-up, so results do not depend on a
budget. Chains are exact once 90 % of the sampled long responses to 512 prompts are gold, which is measured every 10
steps. SOAP and schedule-free AdamW need other packages: pip install pytorch-optimizer schedulefree.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from chainlift.bench.states import next_token_stage
from chainlift.learning import averaging, next_token
from chainlift.learning.optimizer import Optimizer, make_optimizer, rate_scale
from chainlift.measure.evaluate import measure
from chainlift.models import families
from chainlift.models.model import Model
from chainlift.overrides import parse_seeds
from chainlift.runs import environment
from chainlift.seeding import stream
from chainlift.stages import recipe as recipes
from chainlift.stages.recipe import Recipe
from chainlift.tasks import mixture, registry

EVERY, PROMPTS, EXACT = 10, 512, 0.9
ADAMW = ["pretrain.optimizer=adamw"]
MUON = ["pretrain.optimizer=muon"]
Make = Callable[[Model, Recipe], Optimizer]


def _soap(model: Model, recipe: Recipe) -> Optimizer:
    from pytorch_optimizer import SOAP  # pyright: ignore[reportMissingImports]

    return Optimizer(SOAP(model.parameters(), lr=next_token_stage(recipe)[1].lr, betas=(0.95, 0.95), weight_decay=0.01))


def _schedule_free(model: Model, recipe: Recipe) -> Optimizer:
    from schedulefree import AdamWScheduleFree  # pyright: ignore[reportMissingImports]

    optimizer = AdamWScheduleFree(
        model.parameters(), lr=next_token_stage(recipe)[1].lr, betas=(0.9, 0.99), weight_decay=0.01, warmup_steps=20
    )
    optimizer.train()
    return Optimizer(optimizer)


def _own(model: Model, recipe: Recipe) -> Optimizer:
    return make_optimizer(model, next_token_stage(recipe)[1])


WAYS: dict[str, tuple[Make, list[str]]] = {
    **{f"AdamW {lr}": (_own, [*ADAMW, f"pretrain.lr={lr}"]) for lr in ("1e-3", "2e-3", "4e-3")},
    **{f"Muon {lr}": (_own, [*MUON, f"pretrain.muon_lr={lr}"]) for lr in ("5e-3", "1e-2", "2e-2")},
    **{f"SOAP {lr}": (_soap, [*ADAMW, f"pretrain.lr={lr}"]) for lr in ("1e-3", "3e-3", "1e-2")},
    **{f"schedule-free {lr}": (_schedule_free, [*ADAMW, f"pretrain.lr={lr}"]) for lr in ("2e-3", "5e-3")},
}


def steps_until_exact(recipe: Recipe, make: Make, most: int) -> tuple[int | None, int | None, float]:
    """(steps until chains of the weights are exact, the same for their average, seconds per step); None: not reached.

    The average is over about 15 of the last weights.
    """
    task = registry.build(recipe.task)
    name, stage = next_token_stage(recipe)
    settings = stage.model_copy(update={"schedule": "constant"})
    model = families.build(recipe.model, task).initialize(stream(recipe.seed, "model"))
    optimizer = make(model, recipe)
    exact_at: dict[str, int] = {}
    seconds, step = 0.0, 0
    for step in range(1, most + 1):
        started = time.perf_counter()
        batch = mixture.draw(
            task, recipe.mixture_of(name), settings.batch_size, seed=recipe.seed, name=name, step=step - 1
        )
        next_token.accumulate_gradient(model, batch, settings.loss_weighting)
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimizer.step(1.0 if make is _schedule_free else rate_scale(settings, step - 1, most))
        averaging.accumulate(model, optimizer, step, 15)
        seconds += time.perf_counter() - started
        if step % EVERY == 0:
            if "weights" not in exact_at and _exact(model, recipe, step, optimizer if make is _schedule_free else None):
                exact_at["weights"] = step
            with averaging.averaged(model, optimizer, step):
                if "average" not in exact_at and _exact(model, recipe, step, None):
                    exact_at["average"] = step
            if len(exact_at) == 2:
                break
    return exact_at.get("weights"), exact_at.get("average"), seconds / max(step, 1)


def _exact(model: Model, recipe: Recipe, step: int, free: Optimizer | None) -> bool:
    """Whether chains are exact. free: a schedule-free optimizer, whose average is measured instead."""
    free_optimizer: Any = None if free is None else free.parts[0]
    if free_optimizer is not None:
        free_optimizer.eval()
    task = registry.build(recipe.task)
    share = measure(model, task, PROMPTS, seed=recipe.seed, name="optimizers", step=step)["sampled"]["chain_exactness"]
    if free_optimizer is not None:
        free_optimizer.train()
    return (share or 0.0) >= EXACT


def main() -> None:
    """Print a line for each way and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ways", nargs="*", metavar="NAME", help=f"of {', '.join(WAYS)}; default: all")
    parser.add_argument("--seeds", default="100-101")
    parser.add_argument("--most", type=int, default=400, help="steps")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    environment.use_threads(options.threads)
    for name in options.ways or WAYS:
        make, changes = WAYS[name]
        for seed in parse_seeds(options.seeds):
            recipe = recipes.load("headline", changes, seed=seed)
            weights, average, seconds = steps_until_exact(recipe, make, options.most)
            print(
                f"{name}, seed {seed}: {weights} steps, averaged {average}; {seconds * 1e3:.0f} ms a step", flush=True
            )


if __name__ == "__main__":
    main()
