"""Stage 2 as STaR: sample, keep what is right, fine-tune on it, again; TRL has no trainer of it.

Every round is a fresh SFTTrainer with a fresh optimiser. After a round its model is kept, so that a run which was ended
goes on from the last whole round.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import asdict
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
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import derive, stream
from chainlift.stages.failures import Interrupted


def star(context: LlmContext, settings: LlmPosttrainSettings, start: Path) -> Path:
    """The checkpoint after `posttrain.updates` updates that begin at the checkpoint `start`."""
    done = processes.from_first(checkpoint.latest(context.folder.checkpoints, STAGE))
    if done is not None:
        return done
    begun = _newest_round(context)
    state = TrainerState(STAGE, lengths=checkpoint.read_state(start).lengths)
    if begun is not None:
        state = training.read_state(begun)
    context.rewind(state.lengths)
    model, tokenizer = models.open_folder(str(begun or start), weights=context.recipe.model.weights)
    model.to(context.device)
    since = time.monotonic()
    with context.reporter.stage(STAGE, state.step, settings.updates):
        if state.step == 0:
            preflight(context, state, model, tokenizer, settings)
            context.evaluate(state, model, tokenizer, final=False, show=True)
        while state.step < settings.updates:
            judged = sample_round(context, settings, model, tokenizer, state.round)
            kept = [one for one in judged if one.is_right]
            row = _described(judged, settings.group_size)
            if settings.restart:
                model, tokenizer = models.open_folder(str(start), weights=context.recipe.model.weights)
            state.round += 1
            state.sequences += len(judged)
            updates = min(settings.updates_per_round, settings.updates - state.step)
            nothing = {"loss": 0.0, "grad_norm": 0.0, "lr": 0.0}  # was kept, so nothing is fitted
            logs = (
                _fit(context, settings, model, tokenizer, kept, updates, state.round) if kept else [nothing] * updates
            )
            for one in logs:
                state.step += 1
                told = context.record(state, "update", {"round": state.round, **row, **one})
                context.reporter.update(told)
            if state.step % context.recipe.evaluate.posttrain_every == 0 and state.step < settings.updates:
                context.evaluate(state, model, tokenizer, final=False, show=False)
            state.seconds += time.monotonic() - since
            since = time.monotonic()
            if processes.is_first():
                _keep_round(context, state, model, tokenizer)
            if processes.any_of_all(context.stop.is_set()) and state.step < settings.updates:
                raise Interrupted
        context.evaluate(state, model, tokenizer, final=True, show=True)
    state.seconds += time.monotonic() - since
    target = context.folder.checkpoints / f"{STAGE}-{state.step}"
    if processes.is_first():
        temporary = context.folder.checkpoints / f".tmp-{target.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        _save(model, tokenizer, temporary)
        training.keep(context, state, temporary, target)
        shutil.rmtree(training.own_folder(context, STAGE), ignore_errors=True)
    processes.wait_for_all()
    return target


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


def _newest_round(context: LlmContext) -> Path | None:
    """The folder of the last whole round."""
    found = [path.parent for path in training.own_folder(context, STAGE).glob(f"round-*/{training.STATE}")]
    return processes.from_first(max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None))


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """A folder that transformers opens."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _keep_round(context: LlmContext, state: TrainerState, model: Any, tokenizer: Any) -> None:
    """Keep a round's model, and remove those of earlier rounds."""
    folder = training.own_folder(context, STAGE)
    target = folder / f"round-{state.round}"
    _save(model, tokenizer, target)
    state.lengths = context.folder.lengths()
    (target / training.STATE).write_text(json.dumps(asdict(state)) + "\n", encoding="utf-8")
    for other in folder.glob("round-*"):
        if other != target:
            shutil.rmtree(other)
