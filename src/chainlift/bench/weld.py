"""The weld: a recipe's whole experiment made of transformers and TRL, as a careful user would do without chainlift.

Next-token prediction is a loop over padded batches with PyTorch's optimizers and averaged weights. RL is TRL's
GRPOTrainer with the same loss. Evaluations use `generate`, as often and on as many prompts as in the recipe. Both sides
share chainlift's initial weights, demonstrations and verifier. The weld writes no checkpoints, records or page, and
measures neither probabilities of decisions nor pass@k.

`python -m chainlift.bench.weld RECIPE.json` prints the accuracies after each stage as JSON. whole.py runs and measures
it as a separate process.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch

from chainlift.bench import peers, states, trl_peer
from chainlift.bench.machine import Machine, pick_device
from chainlift.bench.states import next_token_stage, rl_stage
from chainlift.bench.torch_parts import Average, optimizers, schedule_of
from chainlift.runs import environment
from chainlift.seeding import stream
from chainlift.stages import recipe as recipes
from chainlift.stages.kinds.ntp import NextTokenPrediction, enough_steps
from chainlift.stages.recipe import Recipe
from chainlift.stages.stage import Stage
from chainlift.tasks import mixture, registry
from chainlift.tasks.base import Task

LOSSES = {"grpo": "grpo", "dr_grpo": "dr_grpo"}
"""{preset: TRL's name of its loss} of the objectives that TRL's GRPOTrainer has."""


def check(recipe: Recipe) -> None:
    """Raise ValueError if the recipe cannot be welded."""
    states.check(recipe)
    (first_name, first), (rl_name, rl) = next_token_stage(recipe), rl_stage(recipe)
    if rl.algorithm not in LOSSES:
        raise ValueError(f"{rl_name}.algorithm: --whole welds {' and '.join(LOSSES)} only")
    if rl.optimizer != "adamw" or first.optimizer == "sgd":
        raise ValueError("optimizer: --whole welds AdamW, and Muon before RL")
    if first.loss_weighting != "token_mean":
        raise ValueError(f"{first_name}.loss_weighting: --whole welds token_mean only")
    others = [
        name for name, stage in recipe.stages.items() if name not in (first_name, rl_name) and not _follows(stage)
    ]
    if others:
        raise ValueError(f"{others[0]}: --whole welds next-token prediction, RL and its baseline only")


def weld(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Run the whole experiment in an empty folder; {stage: {greedy, sampled, length}}."""
    check(recipe)
    environment.use_threads(recipe.threads)
    states.save_new(recipe, folder)
    stages = Weld(recipe, registry.build(recipe.task))
    model = peers.load(folder, stages.machine, training=True)
    (first_name, first), (rl_name, _) = next_token_stage(recipe), rl_stage(recipe)
    evaluations = {first_name: stages.next_tokens(model, first, first_name, first.total_steps or 0)}
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    tokens = stages.reinforce(model, folder)
    evaluations[rl_name] = stages.evaluate(model, recipe.evaluate.prompts, 0)
    for name, stage in recipe.stages.items():
        if isinstance(stage, NextTokenPrediction) and stage.match_tokens is not None:
            needed = int(tokens * stage.token_ratio)
            steps = enough_steps(stages.task, recipe.mixture_of(name), stage.batch_size, needed)
            model.load_state_dict(trained)
            evaluations[name] = stages.next_tokens(model, stage, name, steps)
    return evaluations


def _follows(stage: Stage) -> bool:
    """Whether a stage is the baseline of another."""
    return isinstance(stage, NextTokenPrediction) and stage.match_tokens is not None


class Weld:
    """The weld's stages on one machine."""

    def __init__(self, recipe: Recipe, task: Task) -> None:
        self.recipe, self.task, self.machine = recipe, task, Machine(pick_device(recipe.device), recipe.dtype)
        self.eos = task.vocabulary.eos

    def next_tokens(self, model: Any, settings: NextTokenPrediction, stage: str, steps: int) -> dict[str, float]:
        """Train on padded batches with the recipe's intermediate evaluations; return the final evaluation."""
        model.train()
        chosen_optimizers, average = optimizers(model, settings), Average(model, settings, steps)
        schedules = [schedule_of(each, settings, steps) for each in chosen_optimizers]
        for step in range(steps):
            if step % self.recipe.evaluate.every == 0:
                self.evaluate(average.model(model), self.recipe.evaluate.during, step)
            batch = mixture.draw(
                self.task,
                self.recipe.mixture_of(stage),
                settings.batch_size,
                seed=self.recipe.seed,
                name=stage,
                step=step,
                share=step / steps,
            )
            tokens, labels = (t.to(self.machine.device) for t in peers.pad(batch, self.task))
            with self.machine.autocast():
                loss = model(input_ids=tokens, labels=labels, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            for optimizer, schedule in zip(chosen_optimizers, schedules, strict=True):
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
            average.update(model, step + 1)
        model.load_state_dict(average.model(model).state_dict())
        return self.evaluate(model, self.recipe.evaluate.prompts, steps)

    def reinforce(self, model: Any, folder: Path) -> int:
        """Train by TRL with intermediate evaluations; number of tokens sampled and learned from, prompts included."""
        from datasets import Dataset
        from transformers import AutoTokenizer, PrinterCallback
        from trl.trainer.grpo_config import GRPOConfig
        from trl.trainer.grpo_trainer import GRPOTrainer

        settings = rl_stage(self.recipe)[1]
        (optimizer,) = optimizers(model, settings)
        schedule = schedule_of(optimizer, settings, settings.steps)
        prompts = self.task.prompts(settings.prompts * settings.steps, stream(self.recipe.seed, "weld/prompts"))
        counted = _Counted(trl_peer.rewards(self.task), self.task.prompt_length)
        rows = settings.prompts * settings.group_size
        with TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of transformers and TRL, about each other
            trainer = GRPOTrainer(
                model=model,
                processing_class=AutoTokenizer.from_pretrained(folder, trust_remote_code=False),
                reward_funcs=cast(Any, counted),
                train_dataset=Dataset.from_dict(
                    {"prompt": [self.task.vocabulary.decode(row) for row in prompts], "digits": prompts.tolist()}
                ),
                optimizers=(optimizer, schedule),
                callbacks=[self._evaluations(settings.steps)],
                args=GRPOConfig(
                    **trl_peer.settings(scratch, self.machine, self.task, settings.group_size, rows),
                    max_steps=settings.steps,
                    loss_type=LOSSES[settings.algorithm],
                    scale_rewards="none" if settings.algorithm == "dr_grpo" else "group",
                    max_grad_norm=settings.max_grad_norm,
                    temperature=settings.temperature,
                    learning_rate=settings.lr,
                    shuffle_dataset=False,
                    beta=settings.kl,
                ),
            )
            trainer.remove_callback(PrinterCallback)
            with self.machine.autocast():
                trainer.train()
        return counted.tokens

    def evaluate(self, model: Any, count: int, step: int) -> dict[str, float]:
        """{greedy, sampled: accuracies, length: greedy's median} by `generate` on `count` fresh prompts."""
        prompts = self.task.prompts(count, stream(self.recipe.seed, "weld/evaluation", step))
        training, model.generation_config.eos_token_id = model.training, self.eos
        generate = peers.Generate(model.eval(), self.machine, self.task)
        results: dict[str, float] = {}
        for mode in ("greedy", "sampled"):
            responses = generate.responses(prompts.to(self.machine.device), greedy=mode == "greedy")
            verdict = self.task.verify(prompts, responses.cpu())
            results[mode] = float(verdict.answer_correct.float().mean())
            if mode == "greedy":
                results["length"] = float(verdict.length.median())
        model.train(training)
        return results

    def _evaluations(self, updates: int) -> Any:
        """A callback that evaluates as often as the recipe does."""
        from transformers import TrainerCallback

        weld_stages, every, count = self, self.recipe.evaluate.every_rounds, self.recipe.evaluate.during

        class Evaluations(TrainerCallback):
            """Evaluates before the first update and after every `every` updates."""

            def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
                weld_stages.evaluate(model, count, 0)

            def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
                if state.global_step % every == 0 and state.global_step < updates:
                    weld_stages.evaluate(model, count, state.global_step)

        return Evaluations()


class _Counted:
    """A reward function that counts prompt and output tokens twice: once sampled, once learned from."""

    __name__ = "answer_is_right"

    def __init__(self, reward: Callable[..., list[float]], prompt_length: int) -> None:
        self._reward, self._prompt_length, self.tokens = reward, prompt_length, 0

    def __call__(self, completion_ids: list[list[int]], **columns: Any) -> list[float]:
        self.tokens += 2 * sum(self._prompt_length + len(ids) for ids in completion_ids)
        return self._reward(completion_ids=completion_ids, **columns)


def main() -> None:
    """Weld the recipe in the JSON file of the first argument, and print the results."""
    peers.quiet()
    recipe = recipes.build(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    with TemporaryDirectory() as folder:
        print(json.dumps(weld(recipe, Path(folder))))


if __name__ == "__main__":
    main()
