"""Training by TRL's trainers: their common arguments, their run with our records, and the end of a stage."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import torch

from chainlift import distributed
from chainlift.models import checksums
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.runs import checkpoint, durable
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import derive
from chainlift.stages.failures import Interrupted
from chainlift.stages.stage import Place
from chainlift.stages.trl import pinned
from chainlift.stages.trl.context import TextContext
from chainlift.stages.trl.recorder import Recorder
from chainlift.stages.trl.stage import TrlStage


def arguments(context: TextContext, place: Place, *, batch_size: int, steps: int) -> dict[str, Any]:
    """Arguments of TRL's configurations for all trainers."""
    stage = place.stage
    assert isinstance(stage, TrlStage)
    count = distributed.world_size()
    rows = min(stage.micro_batch_size, batch_size)
    if batch_size % (rows * count):
        raise ValueError(
            f"{place.name}.micro_batch_size: {batch_size} sequences an update are not divided by {count} processes "
            f"times {rows}"
        )
    return {
        **pinned.OPTIMIZER,
        "output_dir": str(context.folder.checkpoints),
        "max_steps": steps,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": batch_size // (rows * count),
        "learning_rate": stage.lr,
        "lr_scheduler_type": stage.schedule,
        "warmup_steps": stage.warmup,
        "weight_decay": stage.weight_decay,
        "max_grad_norm": stage.max_grad_norm,
        "gradient_checkpointing": stage.gradient_checkpointing,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": stage.checkpoint_every,
        "save_total_limit": None,  # older checkpoints are removed once the newest is written
        "ddp_find_unused_parameters": False,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": context.device.type == "cpu",
        "bf16": context.recipe.dtype == "bfloat16",
        "seed": derive(context.recipe.seed, f"llm/{place.name}") % 2**31,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": context.device.type != "cpu",
    }


def begin(context: TextContext, place: Place) -> tuple[TrainerState, Path | None]:
    """(the state to resume from, its checkpoint or None); ValueError names a damaged file."""
    free()  # the model of the last stage, before this stage opens one
    distributed.run_on_rank0(lambda: durable.clean_up(context.folder.checkpoints))
    state, newest = context.resume(place)
    if newest is not None and not state.finished:
        distributed.run_on_rank0(lambda: checksums.check(newest))
    return state, newest


def run(trainer: Any, recorder: Recorder, newest: Path | None, steps: int) -> None:
    """Train up to `steps`, from the checkpoint `newest` if there is one; on a stop, save and raise Interrupted."""
    try:
        trainer.train(resume_from_checkpoint=None if newest is None else str(newest))
    except Interrupted:  # in a measurement between two updates
        if trainer.state.global_step > max(trainer.saved_step, recorder.first_step):
            trainer.keep()
        raise
    if recorder.stopped and trainer.state.global_step < steps:
        raise Interrupted


def finish(context: TextContext, place: Place, recorder: Recorder, trainer: Any) -> None:
    """Measure the trained model and write the stage's last checkpoint, a folder that transformers opens.

    Adapters are merged into the weights of the model that the stage started from.
    """
    context.evaluate(recorder.state, LanguageModel(trainer.model, recorder.tokenizer), final=True, show=True)
    checkpoints, state = context.folder.checkpoints, recorder.state
    temporary = checkpoints / f"{durable.TEMPORARY}{state.stage}-{state.step}"
    distributed.run_on_rank0(lambda: durable.clean_up(checkpoints))
    trainer.save_model(str(temporary))  # in all processes, each of which may have a shard of the weights
    distributed.barrier()

    def put_in_place() -> None:
        if (temporary / "adapter_config.json").exists():
            _merge(temporary, context.start(place).model)
        (temporary / "training_args.bin").unlink(missing_ok=True)  # a pickle that nothing here reads
        end(context, place, recorder.current_state(), temporary)

    distributed.run_on_rank0(put_in_place)


def end(context: TextContext, place: Place, state: TrainerState, temporary: Path) -> None:
    """Write the state into a finished stage's folder, rename it, and mirror its records to the tracker."""
    checkpoints = context.folder.checkpoints
    state.finished = True
    state.lengths = context.folder.lengths()
    checkpoint.write_state(temporary, state)
    durable.put_in_place(temporary, checkpoints / f"{state.stage}-{state.step}")
    checkpoint.prune(checkpoints, state, place.stays)
    context.mirror_new_rows()


def _merge(folder: Path, base: Any) -> None:
    """Replace a folder's adapters by the whole model, with the adapters merged into its weights."""
    from peft import PeftModel

    merged = PeftModel.from_pretrained(base, str(folder)).merge_and_unload()
    for file in folder.glob("adapter_*"):
        file.unlink()
    merged.save_pretrained(folder)


def shared_parts(context: TextContext, place: Place, recorder: Recorder) -> dict[str, Any]:
    """Common parts of all trainers; seeds the adapters that a trainer makes by the recipe's seed."""
    seed_adapters(context, place)
    return {"processing_class": recorder.tokenizer, "peft_config": lora(context), "callbacks": [recorder]}


def lora(context: TextContext) -> Any:
    """peft's configuration of adapters; None if all weights are trained; ValueError without the package."""
    settings = context.settings.lora
    if settings is None:
        return None
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ValueError("model.lora needs peft: pip install 'chainlift[llm]'") from error
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # pyright: ignore[reportArgumentType] (a float does as well)
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def seed_adapters(context: TextContext, place: Place) -> None:
    """Seed the adapters that a trainer is about to create; TRL seeds the rest."""
    torch.manual_seed(derive(context.recipe.seed, f"llm/{place.name}/adapters"))


def free() -> None:
    """Free the memory of unused models and optimizers: trainers refer to theirs in cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
