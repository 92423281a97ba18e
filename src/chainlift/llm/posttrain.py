"""Stage 2 by TRL's trainers: GRPO and its kin, and RLOO, with the reward 1 for a finished, right answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from chainlift import processes
from chainlift.llm import models, pinned, trainers, training
from chainlift.llm.context import LlmContext
from chainlift.llm.generation import longest_prompt
from chainlift.llm.preflight import preflight
from chainlift.llm.problem import Problem
from chainlift.llm.round_signal import round_signal
from chainlift.llm.settings import LlmPosttrainSettings
from chainlift.llm.templates import Text, content, is_long, prompt
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream

STAGE = "posttrain"
SIGNAL = ("long_share", "length_mean", "unfinished_share", "groups_all_right", "groups_all_wrong", "groups_mixed")
"""What the reward function logs of a round."""


def posttrain(context: LlmContext, settings: LlmPosttrainSettings, start: Path) -> Path:
    """The checkpoint after `posttrain.updates` updates that begin at the checkpoint `start`."""
    done = processes.from_first(checkpoint.latest(context.folder.checkpoints, STAGE))
    if done is not None:
        return done
    begun = training.newest(context, STAGE)
    state = TrainerState(STAGE, lengths=checkpoint.read_state(start).lengths)
    if begun is not None:
        state = checkpoint.read_state(begun, trainers.STATE)
    context.rewind(state.lengths)
    model, tokenizer = _model_at(context, start)
    context.check_rounding(model, settings.lr, "posttrain.lr")
    recorder = training.Recorder(
        context,
        state,
        tokenizer,
        every=context.recipe.evaluate.every_rounds,
        sequences=settings.rollouts,
        told=_told,
    )
    with context.reporter.stage("reinforcement learning", state.step, settings.updates):
        if begun is None:
            preflight(context, state, model.to(context.device), tokenizer, settings)
        trainer = _trainer(context, settings, model, tokenizer, recorder)
        training.run(trainer, recorder, begun, settings.updates)
        context.evaluate(state, trainer.model, tokenizer, final=True, show=True)
    state.seconds = recorder.seconds()
    return training.finish(context, state, trainer, lambda: _model_at(context, start)[0])


def _model_at(context: LlmContext, start: Path) -> tuple[Any, Any]:
    """(model, tokenizer) of a checkpoint."""
    return models.open_folder(str(start), weights=context.recipe.model.weights)


def problems_of_round(problems: Sequence[Problem], count: int, *, seed: int, number: int) -> list[Problem]:
    """The problems of round `number`: a walk through all of them, each pass in an order of its own stream."""
    found: list[Problem] = []
    place = number * count
    while len(found) < count:
        epoch, at = divmod(place + len(found), len(problems))
        order = torch.randperm(len(problems), generator=stream(seed, "llm/posttrain/order", epoch)).tolist()
        found += [problems[i] for i in order[at : at + count - len(found)]]
    return found


def _trainer(
    context: LlmContext, settings: LlmPosttrainSettings, model: Any, tokenizer: Any, recorder: training.Recorder
) -> Any:
    """GRPOTrainer or RLOOTrainer, one update for each round of samples."""
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer
    from trl.trainer.rloo_config import RLOOConfig
    from trl.trainer.rloo_trainer import RLOOTrainer

    recipe = context.recipe
    chosen = [
        problem
        for number in range(settings.updates)
        for problem in problems_of_round(context.problems[0], settings.prompts, seed=recipe.seed, number=number)
    ]
    rows = [{"prompt": prompt(one, recipe.template), "answer": one.answer} for one in chosen]
    longest = longest_prompt([row["prompt"] for row in rows], tokenizer)
    kind: Any = RLOOTrainer if settings.algorithm == "rloo" else GRPOTrainer
    config: Any = RLOOConfig if settings.algorithm == "rloo" else GRPOConfig
    training.seed_adapters(context, STAGE)
    trainer = trainers.made(
        kind,
        recorder.state_beside,
        model=model,
        reward_funcs=[Reward(context, tokenizer.eos_token_id, settings.group_size)],
        args=config(**arguments(context, settings, longest)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=training.lora(context),
        callbacks=[recorder],
    )
    trainer.sampled_tokens, trainer.sampling_gib = longest + settings.max_tokens, recipe.sampling_gib
    return trainer


def arguments(context: LlmContext, settings: LlmPosttrainSettings, longest: int) -> dict[str, Any]:
    """What TRL's configuration of the algorithm is given; longest: tokens of the longest prompt."""
    if settings.prompts % processes.count():
        raise ValueError(
            f"posttrain.prompts {settings.prompts} must be a multiple of the {processes.count()} processes"
        )
    given = training.arguments(context, STAGE, settings, batch_size=settings.rollouts, steps=settings.updates)
    return {
        **given,
        **pinned.ALGORITHMS[settings.algorithm],
        "num_generations": settings.group_size,
        "max_completion_length": settings.max_tokens,
        "temperature": settings.temperature,
        "beta": settings.kl,
        "steps_per_generation": given["gradient_accumulation_steps"],  # one round of samples for each update
        "use_vllm": settings.engine == "vllm",
        "vllm_max_model_length": longest + settings.max_tokens,
        "vllm_gpu_memory_utilization": settings.vllm_memory,
    }


class Reward:
    """TRL's reward function: 1 for a finished response whose answer is right, else 0; it notes how long they were."""

    __name__ = "answer"

    def __init__(self, context: LlmContext, end: int, group_size: int) -> None:
        """end: the end-of-sequence token."""
        self.context, self.end, self.group_size = context, end, group_size

    def __call__(
        self,
        prompts: list[Text],
        completions: list[Text],
        completion_ids: list[list[int]],
        answer: list[str],
        log_metric: Any = None,
        **columns: Any,
    ) -> list[float]:
        """The rewards of completions."""
        texts = [content(one) for one in completions]
        grades = self.context.grader.grade_all(texts, answer)
        finished = [self.end in ids for ids in completion_ids]
        right = [grade.is_right and ended for grade, ended in zip(grades, finished, strict=True)]
        if log_metric is not None:
            long = [is_long(text, self.context.recipe.template) for text in texts]
            lengths = [len(ids) - ended for ids, ended in zip(completion_ids, finished, strict=True)]
            for name, value in round_signal(right, long, finished, lengths, self.group_size).items():
                log_metric(name, value)
        return [float(one) for one in right]


def _told(logs: dict[str, float]) -> dict[str, float]:
    """What is recorded of an update, under the names that small runs use; of its samples, so of the policy before."""
    own = {key: logs[key] for key in SIGNAL}
    names = {"entropy": "entropy", "clip_fraction": "clip_ratio/region_mean", "kl": "kl"}
    theirs = {ours: logs[name] for ours, name in names.items() if name in logs}
    update = {"loss": logs["loss"], "grad_norm": logs["grad_norm"], "lr": logs["learning_rate"]}
    share = {"reward_mean": logs["reward"], "accuracy": logs["reward"], "kept_share": logs["groups_mixed"]}
    return share | own | theirs | update
