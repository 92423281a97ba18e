"""STaR in rounds: sample, keep the right responses, fine-tune on them; TRL has no trainer for it.

Every round has a new SFTTrainer with a new optimizer. After each round the model is saved, so that an interrupted run
resumes from the last finished round. Adapters continue from round to round, like the weights of a model without them;
with `restart` both start anew.
"""

from __future__ import annotations

import functools
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from chainlift import distributed
from chainlift.learning.advantage import is_right
from chainlift.learning.reward import score
from chainlift.measure.text import GradedResponse, round_metrics, verdict_of
from chainlift.models.pretrained.generation import num_tokens
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.runs import checkpoint, durable
from chainlift.runs.checkpoint import TrainerState
from chainlift.stages.stage import Place
from chainlift.stages.trl import star_fit, training
from chainlift.stages.trl.context import TextContext
from chainlift.stages.trl.preflight import preflight

if TYPE_CHECKING:
    from chainlift.stages.kinds.trl_rl import TextReinforcementLearning


def train(context: TextContext, place: Place, stage: TextReinforcementLearning) -> None:
    """Train from the newest finished round to the end of the stage.

    ValueError if weights are sharded between processes: every process needs the whole model.
    """
    _needs_whole_weights(place.name)
    star_fit.place_of_fit(place, stage)
    state, newest = training.begin(context, place)
    if state.finished:
        return
    every_rounds = context.recipe.evaluate.every_rounds
    model, tokenizer = _model_at(context, place, newest)
    context.check_rounding(model, stage.lr, f"{place.name}.lr")
    since = time.monotonic()
    with context.reporter.stage(place.title, state.step, stage.steps):
        if state.step == 0:
            preflight(context, state, LanguageModel(model, tokenizer), stage)
            context.evaluate(state, LanguageModel(model, tokenizer), final=False, show=True)
        while state.step < stage.steps:
            # Measured before a round, when the rows and the model of the last one are saved.
            if state.step and state.round % every_rounds == 0:
                context.evaluate(state, LanguageModel(model, tokenizer), final=False, show=False)
            responses = sample_round(context, place, stage, LanguageModel(model, tokenizer), state.round)
            kept, round_metrics_row = _keep_right(responses, stage)
            if stage.restart:
                del model
                training.free()
                model, tokenizer = _model_at(context, place, None)
            model, logs = star_fit.updates(context, place, stage, model, tokenizer, kept, state)
            state.round += 1
            state.sequences += len(responses)
            state.tokens += _num_tokens(context, responses, tokenizer)
            for update in logs:
                state.step += 1
                state.tokens += int(update.pop("num_tokens"))
                row = context.record(state, "update", {"round": state.round, **round_metrics_row, **update})
                context.reporter.update(row)
            state.seconds += time.monotonic() - since
            since = time.monotonic()
            distributed.run_on_rank0(functools.partial(_keep_round, context, place, state, model, tokenizer))
            if state.step < stage.steps:
                context.stop_if_asked()
        context.evaluate(state, LanguageModel(model, tokenizer), final=True, show=True)
        state.seconds += time.monotonic() - since
        distributed.run_on_rank0(lambda: _finish(context, place, state, model, tokenizer))


def _needs_whole_weights(name: str) -> None:
    for kind, file in (("FSDP", "fsdp.yaml"), ("DEEPSPEED", "zero3.yaml")):
        if os.environ.get(f"ACCELERATE_USE_{kind}", "").lower() == "true":
            raise ValueError(
                f"{name}.algorithm=star keeps the whole model on each device: launch it with ddp.yaml, not {file}"
            )


def _model_at(context: TextContext, place: Place, newest: Path | None) -> LanguageModel:
    """The model on the device: of the round saved in `newest`, with its adapters if any, or of the stage's start."""
    adapters = training.lora(context)
    if adapters is None and newest is not None:
        return context.load_checkpoint(newest)
    model, tokenizer = context.start(place)
    if adapters is not None:
        from peft import PeftModel, get_peft_model

        if newest is not None:
            model = PeftModel.from_pretrained(model, str(newest), is_trainable=True)
        else:
            with torch.random.fork_rng(devices=[]):
                training.seed_adapters(context, place)
                model = get_peft_model(model, adapters)
    return LanguageModel(model.to(context.device), tokenizer)


def _keep_right(
    responses: list[GradedResponse], stage: TextReinforcementLearning
) -> tuple[list[GradedResponse], dict[str, float]]:
    """(the right responses, metrics of all samples, which describe the policy before the updates)."""
    verdict = verdict_of(responses)
    rewards = score(verdict, stage.reward)
    kept = [response for response, right in zip(responses, is_right(rewards).tolist(), strict=True) if right]
    probabilities = [p for graded in responses for p in graded.response.probabilities]
    # Minus the log-probability of a sampled token is an unbiased estimate of the entropy.
    entropy = -sum(math.log(max(p, 1e-12)) for p in probabilities) / max(len(probabilities), 1)
    return kept, {
        "reward_mean": float(rewards.double().mean()),
        "accuracy": float(verdict.answer_correct.double().mean()),
        "kept_share": len(kept) / len(responses),
        **round_metrics(verdict, rewards, stage.group_size),
        "entropy": entropy,
        "clip_fraction": 0.0,
    }


def sample_round(
    context: TextContext, place: Place, stage: TextReinforcementLearning, model: LanguageModel, number: int
) -> list[GradedResponse]:
    """Sample and grade `group_size` responses to each problem of round `number`."""
    from chainlift.stages.kinds.trl_rl import problems_of_round

    seed, problems = context.recipe.seed, context.task.problems[0]
    chosen = problems_of_round(problems, stage.prompts, seed=seed, stage=place.name, number=number)
    return context.evaluator(model).answer(
        [problem for problem in chosen for _ in range(stage.group_size)],
        temperature=stage.temperature,
        seed=seed,
        name=f"llm/{place.name}/samples/{number}",
    )


def _num_tokens(context: TextContext, responses: list[GradedResponse], tokenizer: Any) -> int:
    """Prompt and output tokens of a round's samples, with ends of sequence."""
    of_prompts = num_tokens([context.task.prompt(graded.problem) for graded in responses], tokenizer)
    return sum(of_prompts) + sum(graded.response.length + graded.is_finished for graded in responses)


def _keep_round(context: TextContext, place: Place, state: TrainerState, model: Any, tokenizer: Any) -> None:
    """Save a round's model, or only its adapters if it has any."""
    checkpoints = context.folder.checkpoints
    state.lengths = context.folder.lengths()

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        checkpoint.write_state(folder, state)

    durable.write_folder(checkpoints / f"{state.stage}-{state.step}", fill)
    checkpoint.prune(checkpoints, state, place.stays)
    context.mirror_new_rows()


def _finish(context: TextContext, place: Place, state: TrainerState, model: Any, tokenizer: Any) -> None:
    """Write the stage's last checkpoint, with adapters merged into the weights."""
    checkpoints = context.folder.checkpoints
    temporary = checkpoints / f"{durable.TEMPORARY}{state.stage}-{state.step}"
    durable.clean_up(checkpoints)
    whole = model if training.lora(context) is None else model.merge_and_unload()
    whole.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    training.end(context, place, state, temporary)
