"""The fit of a round of STaR: an SFTTrainer on the kept samples, with a new optimizer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from chainlift import distributed
from chainlift.measure.text import GradedResponse
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import derive, stream
from chainlift.stages.stage import Place
from chainlift.stages.trl import pinned, training
from chainlift.stages.trl.context import TextContext
from chainlift.stages.trl.recorder import Stopper, check_finite

if TYPE_CHECKING:
    from chainlift.stages.kinds.trl_rl import TextReinforcementLearning


def updates(
    context: TextContext,
    place: Place,
    stage: TextReinforcementLearning,
    model: Any,
    tokenizer: Any,
    kept: list[GradedResponse],
    state: TrainerState,
) -> tuple[Any, list[dict[str, float]]]:
    """Fit the kept samples of a round; returns (the model, the logs of each update)."""
    count = min(stage.steps_per_round, stage.steps - state.step)
    if not kept:
        return model, [{"loss": 0.0, "grad_norm": 0.0, "lr": 0.0, "num_tokens": 0.0} for _ in range(count)]
    logs = _fit(context, place, stage, model, tokenizer, kept, count, state.round + 1)
    training.free()  # the round's optimizer
    context.stop_if_asked()  # a fit that was interrupted is repeated
    return model, logs


def _fit(
    context: TextContext,
    place: Place,
    stage: TextReinforcementLearning,
    model: Any,
    tokenizer: Any,
    kept: list[GradedResponse],
    updates: int,
    number: int,
) -> list[dict[str, float]]:
    """Logs of each update; an update takes its share of a round's size from shuffles of the kept samples."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    seed, batch_size = context.recipe.seed, _batch_size(stage)
    rows: list[GradedResponse] = []
    epoch = 0
    while len(rows) < updates * batch_size:
        draws = stream(seed, f"llm/{place.name}/shuffle", number, epoch)
        rows += [kept[i] for i in torch.randperm(len(kept), generator=draws).tolist()]
        epoch += 1
    demonstrations = [_demonstration(context, graded) for graded in rows[: updates * batch_size]]
    arguments = training.arguments(context, place_of_fit(place, stage), batch_size=batch_size, steps=updates)
    arguments |= {"save_strategy": "no", "seed": derive(seed, f"llm/{place.name}/fit", number) % 2**31}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**arguments, **pinned.SFT),
        train_dataset=Dataset.from_list(demonstrations),
        processing_class=tokenizer,
        callbacks=[Stopper(context)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    logged = [row for row in trainer.state.log_history if "grad_norm" in row]
    for step, row in enumerate(logged, start=1):
        check_finite(row, step)
    tokens = [0, *(row["num_tokens"] for row in logged)]  # the trainer's sum so far
    return [
        {"loss": row["loss"], "grad_norm": row["grad_norm"], "lr": row["learning_rate"], "num_tokens": now - before}
        for row, before, now in zip(logged, tokens, tokens[1:], strict=False)
    ]


def _demonstration(context: TextContext, graded: GradedResponse) -> dict[str, Any]:
    """A kept sample as a demonstration."""
    prompt, text = context.task.prompt(graded.problem), graded.response.text
    return {
        "prompt": prompt,
        "completion": text if isinstance(prompt, str) else [{"role": "assistant", "content": text.strip()}],
    }


def _batch_size(stage: TextReinforcementLearning) -> int:
    """Demonstrations of an update: its share of a round's size."""
    return max(stage.rollouts // stage.steps_per_round, 1)


def place_of_fit(place: Place, stage: TextReinforcementLearning) -> Place:
    """The place with a micro-batch that divides each process's share of an update; ValueError if shares are unequal."""
    size, count = _batch_size(stage), distributed.world_size()
    if size % count:
        raise ValueError(
            f"{place.name}.steps_per_round: an update of {size} samples is not divided by {count} processes"
        )
    rows = _divisor(size // count, stage.micro_batch_size)
    return replace(place, stage=stage.model_copy(update={"micro_batch_size": rows}))


def _divisor(size: int, most: int) -> int:
    """The largest number up to `most` that divides `size`."""
    return next(number for number in range(min(size, most), 0, -1) if size % number == 0)
