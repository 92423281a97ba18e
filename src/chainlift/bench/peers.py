"""transformers as a peer: a training step on a padded batch, and `generate`, set up as a careful user would.

Measurements led to these choices in the peer's favor: attention by torch's fused kernel without a mask, except in
bfloat16 on CPUs, where its backward pass is slow and plain products are used; the static cache; padding before the
clock starts; no dropout; no cache during training. On a GPU transformers compiles decoding by default.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chainlift.bench.machine import Machine
from chainlift.bench.ours import OPTIMIZER
from chainlift.bench.timing import Repetition, Work
from chainlift.tasks.base import Task, output_mask
from chainlift.tasks.lengths import masks_padding, prompt_lengths
from chainlift.tasks.mixture import MixtureBatch

IGNORED = -100  # transformers: no loss where the label is this
WEIGHTS = ("float32", "bfloat16")
"""Types of the weights; on a machine with bfloat16 the former go with autocast."""
MICRO_BATCH = 64  # rows of text per gradient


def missing() -> str | None:
    """Why the peers cannot be timed, in one line; None if they can."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import accelerate  # noqa: F401
        import datasets  # noqa: F401
        import transformers  # noqa: F401
        import trl  # noqa: F401
    except ImportError as error:
        return f"no peers, the engine alone: {error.name or error} is missing (pip install 'chainlift[bench]')"
    return None


def load(folder: Path, machine: Machine, *, training: bool, weights: str = "float32") -> Any:
    """Load a checkpoint by transformers, on the machine's device."""
    import transformers

    quiet()
    slow = training and machine == Machine("cpu", "bfloat16")
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        folder,
        attn_implementation="eager" if slow else "sdpa",
        dtype=getattr(torch, weights),
        trust_remote_code=False,
    )
    return model.to(machine.device).train(training)


def quiet() -> None:
    """Switch off warnings and progress bars of transformers and of data sets."""
    import datasets
    import transformers

    datasets.disable_progress_bars()

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def pad(batch: MixtureBatch, task: Task) -> tuple[Tensor, Tensor]:
    """(tokens, labels), both (B, L): rows padded on the right; labels are -100 on prompts and padding.

    It needs no attention mask: padding follows every token with a loss, so causality hides it, and attention without a
    mask is faster. Padding left of prompts, where the task masks it, moves to the right as well.
    """
    tokens, labels = [], []
    length = 0
    for part in batch.parts:
        lengths, width = prompt_lengths(task, part.prompts) if masks_padding(task) else None, part.prompts.shape[1]
        starts = torch.zeros(len(part.prompts), 1) if lengths is None else width - lengths[:, None]
        is_read = torch.cat([torch.arange(width) >= starts, part.mask], dim=1)
        has_loss = torch.cat([torch.zeros_like(part.prompts, dtype=torch.bool), part.mask], dim=1)
        row = torch.cat([part.prompts, part.responses], dim=1).masked_fill(~is_read, task.vocabulary.eos)
        order = (~is_read).byte().argsort(dim=1, stable=True)
        tokens.append(row.gather(1, order))
        labels.append(row.masked_fill(~has_loss, IGNORED).gather(1, order))
        length = max(length, int(is_read.sum(dim=1).max()))
    return _joined(tokens, length, task.vocabulary.eos), _joined(labels, length, IGNORED)


def _joined(parts: list[Tensor], length: int, value: int) -> Tensor:
    """Join rows (B, L) of several parts, cut off or padded with `value` to one length."""
    return torch.cat([F.pad(part, (0, length - part.shape[1]), value=value) for part in parts])


class TrainingStep:
    """An update on a padded batch: forward, loss, backward, clipping, fused AdamW.

    micro_batch: rows per gradient, of similar length; None: the whole batch.
    """

    def __init__(
        self, folder: Path, machine: Machine, task: Task, *, weights: str = "float32", micro_batch: int | None = None
    ) -> None:
        self.model = load(folder, machine, training=True, weights=weights)
        self.machine, self.task, self.micro_batch = machine.for_weights(weights), task, micro_batch
        self.model.config.use_cache = False
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=OPTIMIZER.lr, fused=True)

    def __call__(self, batch: MixtureBatch) -> Repetition:
        """One update; the batch is padded and moved to the device before the clock starts."""
        tokens, labels = (t.to(self.machine.device) for t in pad(batch, self.task))
        parts = _micro_batches(tokens, labels, self.micro_batch or len(tokens))
        num_outputs = (labels != IGNORED).sum()
        started = self.machine.clock()
        for part_tokens, part_labels in parts:
            with self.machine.autocast():
                output = self.model(input_ids=part_tokens, labels=part_labels, num_items_in_batch=num_outputs)
            output.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), OPTIMIZER.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Repetition(self.machine.clock() - started, Work(len(tokens), batch.num_tokens))


def ends(labels: Tensor) -> Tensor:
    """Lengths (B,) of padded rows, from their labels (B, L)."""
    return (torch.arange(1, labels.shape[1] + 1, device=labels.device) * (labels != IGNORED)).amax(dim=1)


def _micro_batches(tokens: Tensor, labels: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """Split rows (B, L) into micro-batches of `size` rows of similar length, without columns of padding alone."""
    lengths = ends(labels)
    parts = [(rows, int(lengths[rows].max())) for rows in lengths.argsort().split(size)]
    return [(tokens[rows, :length], labels[rows, :length]) for rows, length in parts]


class Generate:
    """`transformers.generate` with a static key-value cache; it stops when all rows have ended."""

    def __init__(self, model: Any, machine: Machine, task: Task) -> None:
        self.model, self.machine, self.task = model, machine, task
        self.eos, self.max_tokens = task.vocabulary.eos, task.long_length + 1

    def __call__(self, prompts: Tensor, *, group_size: int = 1, greedy: bool = False) -> Repetition:
        """Time `group_size` responses to each prompt (P, T), greedy or at temperature 1 without top-k."""
        rows = prompts.repeat_interleave(group_size, dim=0).to(self.machine.device)
        started = self.machine.clock()
        responses = self.responses(rows, greedy=greedy)
        seconds = self.machine.clock() - started
        return Repetition(seconds, Work(len(rows), int(output_mask(responses, self.eos).sum())))

    @torch.inference_mode()
    def responses(self, rows: Tensor, *, greedy: bool = False) -> Tensor:
        """Responses (B, R) to rows (B, T), one each, padded after their end."""
        decoding = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0, "top_k": 0}
        mask = torch.ones_like(rows)
        if masks_padding(self.task):
            lengths = prompt_lengths(self.task, rows)
            rows = rows[:, -int(lengths.max()) :]
            mask = (torch.arange(rows.shape[1], 0, -1, device=rows.device) <= lengths[:, None]).long()
            decoding |= {"eos_token_id": self.eos, "pad_token_id": self.eos}
        with self.machine.autocast():
            sequences = self.model.generate(
                rows,
                attention_mask=mask,
                max_new_tokens=self.max_tokens,
                cache_implementation="static",
                disable_compile=self.machine.device == "cpu",
                **decoding,
            )
        return sequences[:, rows.shape[1] :]
