"""Stage 1: supervised fine-tuning on the mixture of long and short completions, by TRL's SFTTrainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from chainlift import processes
from chainlift.llm import mixture, pinned, trainers, training
from chainlift.llm.context import LlmContext
from chainlift.llm.mixture import Row
from chainlift.runs import checkpoint
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import stream

STAGE = "pretrain"  # the name under which small runs keep what comes before RL


def finetune(context: LlmContext) -> Path:
    """The checkpoint after `finetune.steps` updates; a stage that has begun goes on from its newest checkpoint."""
    done = processes.from_first(checkpoint.latest(context.folder.checkpoints, STAGE))
    if done is not None:
        return done
    settings = context.recipe.finetune
    begun = training.newest(context, STAGE)
    state = TrainerState(STAGE) if begun is None else checkpoint.read_state(begun, trainers.STATE)
    context.rewind(state.lengths)
    model, tokenizer = context.new_model()
    context.check_rounding(model, settings.lr, "finetune.lr")
    rows = demonstrations(context, tokenizer)
    recorder = training.Recorder(
        context,
        state,
        tokenizer,
        every=context.recipe.evaluate.every,
        sequences=settings.batch_size,
        tokens_before=state.tokens,
        told=lambda logs: {"loss": logs["loss"], "grad_norm": logs["grad_norm"], "lr": logs["learning_rate"]},
    )
    with context.reporter.stage("fine-tuning", state.step, settings.steps):
        trainer = _trainer(context, model, tokenizer, rows, recorder)
        training.run(trainer, recorder, begun, settings.steps)
        context.evaluate(state, trainer.model, tokenizer, final=True, show=True)
    state.seconds = recorder.seconds()
    return training.finish(context, state, trainer, lambda: context.new_model()[0])


def demonstrations(context: LlmContext, tokenizer: Any) -> list[Row]:
    """The rows of all updates, in order: epochs of the training problems, each in an order of its own stream.

    Those that are longer than `finetune.max_length` are left out before, and told.
    """
    recipe = context.recipe
    needed = recipe.finetune.steps * recipe.finetune.batch_size
    found: list[Row] = []
    for epoch, order in enumerate(_orders(len(context.problems[0]), recipe.seed)):
        rows = mixture.rows(context.problems[0], recipe.mixture, recipe.template, seed=recipe.seed, epoch=epoch)
        short_enough = _fitting(rows, tokenizer, recipe.finetune.max_length)
        if epoch == 0 and len(short_enough) < len(rows):
            left = len(rows) - len(short_enough)
            context.reporter.say(
                f"{left} of {len(rows)} demonstrations have more than finetune.max_length = "
                f"{recipe.finetune.max_length} tokens and are left out"
            )
        if not short_enough:
            raise ValueError(f"finetune.max_length: no demonstration has {recipe.finetune.max_length} tokens or fewer")
        found += [rows[i] for i in order if i in short_enough]
        if len(found) >= needed:
            return found[:needed]
    raise AssertionError("epochs do not end")


def _orders(size: int, seed: int) -> Iterator[list[int]]:
    """The order of each epoch."""
    epoch = 0
    while True:
        yield torch.randperm(size, generator=stream(seed, "llm/finetune/order", epoch)).tolist()
        epoch += 1


def _fitting(rows: list[Row], tokenizer: Any, max_length: int) -> set[int]:
    """The numbers of those rows that have at most so many tokens, the end of sequence among them."""
    from chainlift.llm.generation import prompt_text
    from chainlift.llm.templates import content

    texts = [prompt_text(row["prompt"], tokenizer) + content(row["completion"]) for row in rows]
    sizes = [len(ids) + 1 for ids in tokenizer(texts)["input_ids"]]
    return {number for number, size in enumerate(sizes) if size <= max_length}


def _trainer(context: LlmContext, model: Any, tokenizer: Any, rows: list[Row], recorder: training.Recorder) -> Any:
    """SFTTrainer over rows in their order, the loss on completions only."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    settings = context.recipe.finetune
    given = training.arguments(context, STAGE, settings, batch_size=settings.batch_size, steps=settings.steps)
    training.seed_adapters(context, STAGE)
    return trainers.made(
        SFTTrainer,
        recorder.state_beside,
        model=model,
        args=SFTConfig(**given, **pinned.SFT),
        train_dataset=Dataset.from_list([{key: row[key] for key in ("prompt", "completion")} for row in rows]),
        processing_class=tokenizer,
        peft_config=training.lora(context),
        callbacks=[recorder],
    )
