"""TRL as a peer on recorded data: an update of SFTTrainer on demonstrations, and of GRPOTrainer on recorded samples.

Both have the arguments of stages/trl. A trainer stays for all repetitions, so that its first update, which is not
counted, pays for allocation. Of GRPOTrainer only loss, backward pass and optimizer step count: its rollout function
hands over the recorded samples, and the time that it takes to prepare them is subtracted.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from chainlift.bench import peers
from chainlift.bench.language.ours import Samples
from chainlift.bench.machine import Machine
from chainlift.bench.ours import OPTIMIZER
from chainlift.bench.timing import Repetition, Work
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.trl import pinned
from chainlift.tasks.base import Task
from chainlift.tasks.lengths import prompt_lengths
from chainlift.tasks.mixture import MixtureBatch


class _Update:
    """A trainer of TRL that makes one update a call."""

    def __init__(self, folder: Path, machine: Machine, task: Task, weights: str, rows: int) -> None:
        from transformers import AutoTokenizer

        micro_batch = math.gcd(rows, peers.MICRO_BATCH)
        self.machine, self.task, self.scratch = machine, task, TemporaryDirectory()
        self.parts: dict[str, Any] = {
            "model": peers.load(folder, machine, training=True, weights=weights),
            "processing_class": AutoTokenizer.from_pretrained(folder, trust_remote_code=False),
            "callbacks": [_clock(self)],
        }
        self.arguments: dict[str, Any] = pinned.OPTIMIZER | {
            "output_dir": self.scratch.name,
            "max_steps": 1,
            "per_device_train_batch_size": micro_batch,
            "gradient_accumulation_steps": rows // micro_batch,
            "learning_rate": OPTIMIZER.lr,
            "max_grad_norm": OPTIMIZER.max_grad_norm,
            "gradient_checkpointing": False,
            "use_cpu": machine.device == "cpu",
            "bf16": machine.for_weights(weights).dtype == "bfloat16",
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": machine.device != "cpu",
        }
        self.started = self.seconds = self.preparing = 0.0

    def made(self, kind: Any, **options: Any) -> Any:
        """A trainer of the class `kind`."""
        from transformers import PrinterCallback

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rollout_func is called experimental
            trainer = kind(**self.parts, **options)
        trainer.remove_callback(PrinterCallback)
        return trainer

    def run(self, trainer: Any, columns: dict[str, list[Any]], work: Work) -> Repetition:
        """Time one update on a data set of these columns."""
        from datasets import Dataset

        trainer.train_dataset = Dataset.from_dict(columns)
        self.preparing = 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.train()
        return Repetition(self.seconds - self.preparing, work)


class SftUpdate(_Update):
    """An update of SFTTrainer on demonstrations that are tokenized before."""

    def __init__(self, folder: Path, machine: Machine, task: Task, weights: str, *, batch_size: int) -> None:
        from datasets import Dataset
        from trl.trainer.sft_config import SFTConfig
        from trl.trainer.sft_trainer import SFTTrainer

        super().__init__(folder, machine, task, weights, batch_size)
        self.trainer = self.made(
            SFTTrainer,
            args=SFTConfig(**self.arguments, **pinned.SFT),
            train_dataset=Dataset.from_dict({"input_ids": [[0, 0]], "completion_mask": [[0, 1]]}),
        )

    def __call__(self, batch: MixtureBatch) -> Repetition:
        """Time the update on a batch."""
        tokens, labels = peers.pad(batch, self.task)
        ends = peers.ends(labels).tolist()
        columns = {
            "input_ids": [row[:end].tolist() for row, end in zip(tokens, ends, strict=True)],
            "labels": [row[:end].tolist() for row, end in zip(labels, ends, strict=True)],
        }
        return self.run(self.trainer, columns, Work(len(tokens), batch.num_tokens))


class GrpoUpdate(_Update):
    """An update of GRPOTrainer on recorded samples with recorded rewards."""

    def __init__(
        self, folder: Path, machine: Machine, task: Task, weights: str, *, settings: ReinforcementLearning
    ) -> None:
        from datasets import Dataset
        from trl.trainer.grpo_config import GRPOConfig
        from trl.trainer.grpo_trainer import GRPOTrainer

        super().__init__(folder, machine, task, weights, settings.rollouts)
        self.samples: dict[str, Any] = {}
        self.rewards: list[float] = []
        update = self

        class OnRecorded(GRPOTrainer):
            """Measures how long the preparation of samples takes."""

            def _generate_and_score_completions(self, inputs: Any) -> Any:
                started = machine.clock()
                prepared = super()._generate_and_score_completions(inputs)
                update.preparing += machine.clock() - started
                return prepared

        def recorded_reward(**_: Any) -> list[float]:
            return self.rewards

        arguments = self.arguments | {
            "num_generations": settings.group_size,
            "max_completion_length": task.long_length + 1,
            "temperature": settings.temperature,
            "beta": 0.0,
            "steps_per_generation": self.arguments["gradient_accumulation_steps"],
        }
        self.trainer = self.made(
            OnRecorded,
            args=GRPOConfig(**arguments, **pinned.ALGORITHMS[settings.algorithm]),
            train_dataset=Dataset.from_dict({"prompt": [""]}),
            reward_funcs=[recorded_reward],
            rollout_func=lambda prompts, trainer: self.samples,
        )

    def __call__(self, samples: Samples) -> Repetition:
        """Time the update on recorded samples."""
        rollout = samples.rollout
        prompts, lengths = rollout.row_prompts.tolist(), prompt_lengths(self.task, rollout.row_prompts).tolist()
        pairs = zip(rollout.responses.tolist(), rollout.num_actions.tolist(), strict=True)
        self.samples = {
            "prompt_ids": [row[len(row) - length :] for row, length in zip(prompts, lengths, strict=True)],
            "completion_ids": [row[:count] for row, count in pairs],
            "logprobs": None,  # read with vLLM alone
        }
        self.rewards = samples.rewards.tolist()
        columns = {"prompt": [str(number) for number in range(len(rollout.prompts))]}
        return self.run(self.trainer, columns, Work(len(prompts), int(rollout.num_actions.sum())))


def _clock(update: _Update) -> Any:
    """A callback that notes how long the last update took."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Reads the clock at both ends of an update."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            update.started = update.machine.clock()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            update.seconds = update.machine.clock() - update.started

    return Clock()
