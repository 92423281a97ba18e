"""TRL as a peer: one update of GRPOTrainer or RLOOTrainer, with sampling and rewards, set up for speed.

Logging, saving, progress bar, gradient checkpointing and reference model are off. All rows are sampled in one batch and
learned from in batches of MICRO_BATCH.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor

from chainlift.bench import peers
from chainlift.bench.machine import Machine
from chainlift.bench.ours import OPTIMIZER
from chainlift.bench.timing import Repetition, Work
from chainlift.tasks.base import Task

MICRO_BATCH = 64  # rows per gradient: 64 was as fast as 32 and faster than 256


def update(
    folder: Path,
    machine: Machine,
    task: Task,
    prompts: Tensor,
    *,
    group_size: int,
    algorithm: Literal["grpo", "rloo"],
) -> Repetition:
    """Time the second of two updates of a new trainer on prompts (P, T), with P * group_size samples each.

    The first one pays for allocation. The learning rate is so low that the model stays in its state.
    """
    from datasets import Dataset
    from transformers import AutoTokenizer, PrinterCallback

    rows_an_update = len(prompts) * group_size
    prompts_of_both = torch.cat([prompts, prompts])
    clock = _clock(machine)
    with TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers and TRL, about each other
        arguments = settings(scratch, machine, task, group_size, rows_an_update)
        arguments |= {"max_steps": 2, "learning_rate": OPTIMIZER.lr, "beta": 0.0, "optim": "adamw_torch_fused"}
        parts: dict[str, Any] = {
            "model": peers.load(folder, machine, training=True),
            "processing_class": AutoTokenizer.from_pretrained(folder, trust_remote_code=False),
            "reward_funcs": rewards(task),
            "train_dataset": Dataset.from_dict(
                {"prompt": [task.vocabulary.decode(row) for row in prompts_of_both], "digits": prompts_of_both.tolist()}
            ),
            "callbacks": [clock],
        }
        trainer = _trainer(algorithm, arguments, parts)
        trainer.remove_callback(PrinterCallback)
        with machine.autocast():
            trainer.train()
    return Repetition(clock.seconds[-1], Work(rows_an_update))


def settings(scratch: str, machine: Machine, task: Task, group_size: int, rows: int) -> dict[str, Any]:
    """Arguments of TRL's trainers that make them fast, for `rows` samples per update."""
    micro_batch = math.gcd(rows, MICRO_BATCH)
    return {
        "output_dir": scratch,
        "num_generations": group_size,
        "max_completion_length": task.long_length + 1,
        "cache_implementation": "static",
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": rows // micro_batch,
        "use_cpu": machine.device == "cpu",
        "bf16": machine.dtype == "bfloat16",
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }


def rewards(task: Task) -> Callable[..., list[float]]:
    """A reward function for TRL: 1.0 for each response that the task's verifier accepts, otherwise 0.0."""

    def answer_is_right(completion_ids: list[list[int]], digits: list[list[int]], **_: Any) -> list[float]:
        longest = max(map(len, completion_ids))
        eos = task.vocabulary.eos
        responses = torch.tensor([ids + [eos] * (longest - len(ids)) for ids in completion_ids])
        # A truncated row has no end, though its padding looks like one.
        ended = torch.tensor([eos in ids for ids in completion_ids])
        return (task.verify(torch.tensor(digits), responses).answer_correct & ended).float().tolist()

    return answer_is_right


def _trainer(algorithm: str, settings: dict[str, Any], parts: dict[str, Any]) -> Any:
    """A new trainer."""
    if algorithm == "grpo":
        from trl.trainer.grpo_config import GRPOConfig
        from trl.trainer.grpo_trainer import GRPOTrainer

        return GRPOTrainer(args=GRPOConfig(**settings, loss_type="grpo"), **parts)
    from trl.trainer.rloo_config import RLOOConfig
    from trl.trainer.rloo_trainer import RLOOTrainer

    return RLOOTrainer(args=RLOOConfig(**settings), **parts)


def _clock(machine: Machine) -> Any:
    """A callback that records the seconds of each optimizer step, sampling and rewards included."""
    from transformers import TrainerCallback

    class StepClock(TrainerCallback):
        """Reads the clock before and after each step."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._started = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._started = machine.clock()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.seconds.append(machine.clock() - self._started)

    return StepClock()
