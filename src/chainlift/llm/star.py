"""Stage 2 as STaR: sample, keep what is right, fine-tune on it, again; TRL has no trainer of it.

Every round is a fresh SFTTrainer with a fresh optimizer. After a round its model is kept, so that a run which was ended
goes on from the last whole round. Adapters go on from round to round, like the weights of a model without them; with
`restart` both begin anew.
"""

from __future__ import annotations

import functools
import math
import os
import time
from pathlib import Path
from typing import Any

import torch

from chainlift import processes
from chainlift.llm import models, pinned, training
from chainlift.llm.context import LlmContext
from chainlift.llm.measuring import Judged
from chainlift.llm.posttrain import STAGE, problems_of_round
from chainlift.llm.preflight import preflight
from chainlift.llm.round_signal import signal_of
from chainlift.llm.settings import LlmPosttrainSettings
from chainlift.llm.templates import prompt
from chainlift.llm.trainers import STATE
from chainlift.runs import checkpoint, durable
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import derive, stream


def star(context: LlmContext, settings: LlmPosttrainSettings, start: Path) -> Path:
    """The checkpoint after `posttrain.updates` updates that begin at the checkpoint `start`.

    ValueError where weights are divided between processes, which keep a round's model whole here.
    """
    _needs_whole_weights()
    done = processes.from_first(checkpoint.latest(context.folder.checkpoints, STAGE))
    if done is not None:
        return done
    begun = training.newest(context, STAGE, "round")
    state = TrainerState(STAGE, lengths=checkpoint.read_state(start).lengths)
    if begun is not None:
        state = checkpoint.read_state(begun, STATE)
    context.rewind(state.lengths)
    model, tokenizer = _opened(context, start, begun)
    context.check_rounding(model, settings.lr, "posttrain.lr")
    since = time.monotonic()
    with context.reporter.stage("reinforcement learning", state.step, settings.updates):
        if state.step == 0:
            preflight(context, state, model, tokenizer, settings)
            context.evaluate(state, model, tokenizer, final=False, show=True)
        while state.step < settings.updates:
            # Measured before a round, so that the round before it, and its rows, are kept.
            if state.step and state.step % context.recipe.evaluate.every_rounds == 0:
                context.evaluate(state, model, tokenizer, final=False, show=False)
            judged = sample_round(context, settings, model, tokenizer, state.round)
            row = _described(judged, settings.group_size)
            if settings.restart:
                del model
                training.free()
                model, tokenizer = _opened(context, start, None)
            model, logs = _updates(context, settings, model, tokenizer, judged, state)
            state.round += 1
            state.sequences += len(judged)
            for one in logs:
                state.step += 1
                told = context.record(state, "update", {"round": state.round, **row, **one})
                context.reporter.update(told)
            state.seconds += time.monotonic() - since
            since = time.monotonic()
            processes.first_says(functools.partial(_keep_round, context, state, model, tokenizer))
            if state.step < settings.updates:
                context.stop_if_asked()
        context.evaluate(state, model, tokenizer, final=True, show=True)
    state.seconds += time.monotonic() - since
    return processes.first_says(lambda: _finish(context, state, model, tokenizer))


def _needs_whole_weights() -> None:
    for name, file in (("FSDP", "fsdp.yaml"), ("DEEPSPEED", "zero3.yaml")):
        if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true":
            raise ValueError(
                f"posttrain.algorithm=star keeps the whole model on each device: launch it with ddp.yaml, not {file}"
            )


def _opened(context: LlmContext, start: Path, begun: Path | None) -> tuple[Any, Any]:
    """(model, tokenizer) on the device, of `start` or of the round `begun`, which holds adapters alone if any."""
    adapters = training.lora(context)
    folder = start if adapters is not None or begun is None else begun
    model, tokenizer = models.open_folder(str(folder), weights=context.recipe.model.weights)
    if adapters is not None:
        from peft import PeftModel, get_peft_model

        if begun is not None:
            model = PeftModel.from_pretrained(model, str(begun), is_trainable=True)
        else:
            with torch.random.fork_rng(devices=[]):
                training.seed_adapters(context, STAGE)
                model = get_peft_model(model, adapters)
    return model.to(context.device), tokenizer


def _updates(
    context: LlmContext,
    settings: LlmPosttrainSettings,
    model: Any,
    tokenizer: Any,
    judged: list[Judged],
    state: TrainerState,
) -> tuple[Any, list[dict[str, float]]]:
    """(the model, what was logged of each update) after a round's fit on what was right."""
    updates = min(settings.updates_per_round, settings.updates - state.step)
    kept = [one for one in judged if one.is_right]
    if not kept:
        return model, [{"loss": 0.0, "grad_norm": 0.0, "lr": 0.0}] * updates  # nothing is fitted
    logs = _fit(context, settings, model, tokenizer, kept, updates, state.round + 1)
    training.free()  # the round's optimizer
    context.stop_if_asked()  # a fit that was ended early is done again
    return model, logs


def sample_round(
    context: LlmContext, settings: LlmPosttrainSettings, model: Any, tokenizer: Any, number: int
) -> list[Judged]:
    """The judged samples of round `number`, `group_size` for each of its problems."""
    seed = context.recipe.seed
    chosen = problems_of_round(context.problems[0], settings.prompts, seed=seed, number=number)
    return context.examinee(model, tokenizer).answer(
        [one for one in chosen for _ in range(settings.group_size)],
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=seed,
        name=f"llm/posttrain/samples/{number}",
        rows_at_once=context.recipe.evaluate.rows_at_once,
    )


def _fit(
    context: LlmContext,
    settings: LlmPosttrainSettings,
    model: Any,
    tokenizer: Any,
    kept: list[Judged],
    updates: int,
    number: int,
) -> list[dict[str, float]]:
    """What was logged of each update; an update takes its part of a round's size from shuffles of what was kept."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    batch_size = max(settings.rollouts // settings.updates_per_round, 1)
    rows: list[Judged] = []
    epoch = 0
    while len(rows) < updates * batch_size:
        draws = stream(context.recipe.seed, "llm/star/shuffle", number, epoch)
        rows += [kept[i] for i in torch.randperm(len(kept), generator=draws).tolist()]
        epoch += 1
    template = context.recipe.template
    content = [_demonstration(one, template) for one in rows[: updates * batch_size]]
    one_at_once = settings.model_copy(update={"rows_at_once": _divisor(batch_size, settings.rows_at_once)})
    given = training.arguments(context, STAGE, one_at_once, batch_size=batch_size, steps=updates)
    given |= {"save_strategy": "no", "seed": derive(context.recipe.seed, "llm/star", number) % 2**31}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**given, **pinned.SFT),
        train_dataset=Dataset.from_list(content),
        processing_class=tokenizer,
        callbacks=[training.Stopper(context)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    logged = [one for one in trainer.state.log_history if "grad_norm" in one]
    return [{"loss": one["loss"], "grad_norm": one["grad_norm"], "lr": one["learning_rate"]} for one in logged]


def _demonstration(one: Judged, template: Any) -> dict[str, Any]:
    """A kept sample as a demonstration."""
    asked, text = prompt(one.problem, template), one.response.text
    return {
        "prompt": asked,
        "completion": text if isinstance(asked, str) else [{"role": "assistant", "content": text.strip()}],
    }


def _divisor(size: int, most: int) -> int:
    """The largest number up to `most` that divides `size`."""
    return next(one for one in range(min(size, most), 0, -1) if size % one == 0)


def _described(judged: list[Judged], group_size: int) -> dict[str, float]:
    """What a round's samples say of the policy before its updates, and what share of them was kept."""
    share = sum(one.is_right for one in judged) / len(judged)
    chosen = [p for one in judged for p in one.response.probabilities]
    signal = signal_of(judged, group_size)
    # Of a sampled token the entropy's unbiased estimate is minus its logarithm.
    entropy = -sum(math.log(max(p, 1e-12)) for p in chosen) / max(len(chosen), 1)
    return {
        "reward_mean": share,
        "accuracy": share,
        "kept_share": share,
        **signal,
        "entropy": entropy,
        "clip_fraction": 0.0,
    }


def _keep_round(context: LlmContext, state: TrainerState, model: Any, tokenizer: Any) -> None:
    """Keep a round's model, of one with adapters these alone, and remove those of earlier rounds."""
    root = training.own_folder(context, STAGE)
    target = root / f"round-{state.round}"
    state.lengths = context.folder.lengths()

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        checkpoint.write_state(folder, state, STATE)

    durable.make_folder(root)
    durable.write_folder(target, fill)
    for other in root.glob("round-*"):
        if other != target:
            durable.discard(other)


def _finish(context: LlmContext, state: TrainerState, model: Any, tokenizer: Any) -> Path:
    """The stage's last checkpoint, adapters put into its weights; what the rounds kept is removed."""
    target = context.folder.checkpoints / f"{STAGE}-{state.step}"
    temporary = context.folder.checkpoints / f"{durable.TEMPORARY}{target.name}"
    durable.clean_up(target.parent)
    whole = model if training.lora(context) is None else model.merge_and_unload()
    whole.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    training.keep(context, state, temporary, target)
    return target
