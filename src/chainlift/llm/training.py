"""TRL's trainers under our record: what both stages pass to them, and the callback through which they report.

A trainer's own checkpoints lie in checkpoints/trainer-<stage> while the stage goes on (trainers.py writes them). Our
state stands in each; it tells how long the run's files were, so that going on cuts them back.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from chainlift import processes
from chainlift.llm import pinned
from chainlift.llm.context import LlmContext
from chainlift.llm.settings import TrainerSettings
from chainlift.models import checksums
from chainlift.runs import checkpoint, durable
from chainlift.runs.checkpoint import TrainerState
from chainlift.seeding import derive
from chainlift.stages.failures import Interrupted

Measure = Callable[[dict[str, float]], dict[str, float]]
"""From what a trainer logs of an update to what is recorded of it."""


def arguments(
    context: LlmContext, stage: str, settings: TrainerSettings, *, batch_size: int, steps: int
) -> dict[str, Any]:
    """What TRL's configurations of all trainers are given."""
    count = processes.count()
    rows = min(settings.rows_at_once, batch_size)
    if batch_size % (rows * count):
        raise ValueError(
            f"{batch_size} sequences an update are not divided by {count} processes times rows_at_once {rows}"
        )
    return {
        **pinned.OPTIMIZER,
        "output_dir": str(own_folder(context, stage)),
        "max_steps": steps,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": batch_size // (rows * count),
        "learning_rate": settings.lr,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.clip_norm,
        "gradient_checkpointing": settings.recompute,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_every,
        "save_total_limit": None,  # older checkpoints are removed once the newest stands
        "ddp_find_unused_parameters": False,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": context.device == "cpu",
        "bf16": context.recipe.dtype == "bfloat16",
        "seed": derive(context.recipe.seed, f"llm/{stage}") % 2**31,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": context.device != "cpu",
    }


def own_folder(context: LlmContext, stage: str) -> Path:
    """Where a stage's trainer keeps its checkpoints."""
    return context.folder.checkpoints / f"trainer-{stage}"


def newest(context: LlmContext, stage: str, kind: str = "checkpoint") -> Path | None:
    """The newest whole checkpoint of a stage's trainer, None if there is none; ValueError names a damaged file.

    kind: what the folders' names begin with, before their number.
    """
    root = own_folder(context, stage)

    def find() -> Path | None:
        durable.clean_up(root)
        folders = durable.whole_folders(root)
        numbers = [name.removeprefix(f"{kind}-") for name in folders if name.startswith(f"{kind}-")]
        number = max((one for one in numbers if one.isdecimal()), key=int, default=None)
        if number is None:
            return None
        checksums.check(folders[f"{kind}-{number}"])
        return folders[f"{kind}-{number}"]

    return processes.first_says(find)


def run(trainer: Any, recorder: Recorder, begun: Path | None, steps: int) -> None:
    """Train up to `steps`, from the checkpoint `begun` if there is one; Interrupted, after a checkpoint, when asked."""
    try:
        trainer.train(resume_from_checkpoint=None if begun is None else str(begun))
    except Interrupted:  # in a measurement between two updates
        if trainer.state.global_step > max(trainer.saved_step, recorder.begun):
            trainer.keep()
        raise
    if recorder.stopped and trainer.state.global_step < steps:
        raise Interrupted


class Stopper(TrainerCallback):
    """Ends a training when the run is asked to stop."""

    def __init__(self, context: LlmContext) -> None:
        self.context = context

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
        """End it after an update."""
        if processes.any_of_all(self.context.stop.is_set()):
            control.should_training_stop = True
        return control


class Recorder(TrainerCallback):
    """Writes down a trainer's updates, measures now and then, keeps our state in checkpoints, and stops when asked."""

    def __init__(
        self,
        context: LlmContext,
        state: TrainerState,
        tokenizer: Any,
        *,
        every: int,
        sequences: int,
        told: Measure,
        tokens_before: int = 0,
    ) -> None:
        """sequences: of an update; told: what is recorded of an update; tokens_before: those of earlier processes that
        the trainer does not count when it goes on.
        """
        self._tokens_before = tokens_before
        self.context, self.state, self.tokenizer = context, state, tokenizer
        self.every, self.sequences, self.told = every, sequences, told
        self._since = time.monotonic()
        self.begun = state.step
        """The step that this process began at."""
        self.stopped = False
        """Whether the stage was asked to stop; all processes agree."""
        self._measured = 0  # the last step at which this process measured

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measure the model that the stage begins with."""
        self._since = time.monotonic()
        if self.state.step == 0:
            self._measure(given["model"], show=self.state.stage == "posttrain")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **given: Any) -> None:
        """Record an update."""
        if logs is None or "grad_norm" not in logs or not state.is_world_process_zero:
            return
        if not math.isfinite(logs["loss"]) or not math.isfinite(logs["grad_norm"]):
            raise FloatingPointError(
                f"loss {logs['loss']}, gradient norm {logs['grad_norm']} at update {state.global_step}"
            )
        self.state.tokens = self._tokens_before + int(logs["num_tokens"])
        self.state.step = state.global_step
        self.state.sequences = state.global_step * self.sequences
        row = self.context.record(self.state, "update", self.told(logs))
        self.context.reporter.update(row)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> Any:
        """Stop, with a checkpoint, when asked."""
        self.state.step = state.global_step
        self.stopped = processes.any_of_all(self.context.stop.is_set())
        if self.stopped:
            control.should_training_stop = control.should_save = True
        control.should_log = True
        return control

    def state_beside(self) -> TrainerState:
        """Our state as it goes into a checkpoint."""
        now = time.monotonic()
        self.state.seconds += now - self._since
        self._since = now
        self.state.lengths = self.context.folder.lengths()
        return self.state

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measured before an update, so that the rows of the update before it, and its checkpoint, are written."""
        step = state.global_step
        if step > 0 and step % self.every == 0 and step != self._measured:
            self._measure(given["model"], show=False)

    def _measure(self, model: Any, *, show: bool) -> None:
        self._measured = self.state.step
        self.context.evaluate(self.state, model, self.tokenizer, final=False, show=show)

    def seconds(self) -> float:
        """Of the stage, all processes that worked on it together."""
        return self.state.seconds + time.monotonic() - self._since


def finish(context: LlmContext, state: TrainerState, trainer: Any, base: Callable[[], Any]) -> Path:
    """The stage's last checkpoint, a folder that transformers opens, after which its trainer's own ones are removed.

    base: opens the model under a trainer's adapters; they are put into its weights.
    """
    target = context.folder.checkpoints / f"{state.stage}-{state.step}"
    temporary = context.folder.checkpoints / f"{durable.TEMPORARY}{target.name}"
    processes.first_says(lambda: durable.clean_up(target.parent))
    trainer.save_model(str(temporary))  # by all processes together, which may hold a part of the weights each
    processes.wait_for_all()

    def put_in_place() -> None:
        if (temporary / "adapter_config.json").exists():
            _merge(temporary, base())
        keep(context, state, temporary, target)

    processes.first_says(put_in_place)
    return target


def keep(context: LlmContext, state: TrainerState, temporary: Path, target: Path) -> None:
    """Give a finished stage's folder its state, then its name; after it the trainer's own folder goes."""
    state.finished = True
    state.lengths = context.folder.lengths()
    checkpoint.write_state(temporary, state)
    (temporary / "training_args.bin").unlink(missing_ok=True)  # a pickle that nothing here reads
    durable.put_in_place(temporary, target)
    if own_folder(context, state.stage).exists():
        durable.discard(own_folder(context, state.stage))


def _merge(folder: Path, base: Any) -> None:
    """Replace a folder's adapters by the whole model with them in its weights."""
    from peft import PeftModel

    merged = PeftModel.from_pretrained(base, str(folder)).merge_and_unload()
    for file in folder.glob("adapter_*"):
        file.unlink()
    merged.save_pretrained(folder)


def lora(context: LlmContext) -> Any:
    """peft's configuration of adapters, None if all weights are trained; ValueError without the package."""
    settings = context.recipe.model.lora
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


def seed_adapters(context: LlmContext, stage: str) -> None:
    """Make the adapters that a trainer is about to create a function of the recipe's seed; TRL seeds what follows."""
    torch.manual_seed(derive(context.recipe.seed, f"llm/{stage}/adapters"))


def free() -> None:
    """Give back the memory of models and optimizers that nothing uses any more: trainers hold theirs in cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
