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
from chainlift.tasks.mixture import MixtureBatch

IGNORED = -100  # transformers: no loss where the label is this


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


def load(folder: Path, machine: Machine, *, training: bool) -> Any:
    """Load a checkpoint by transformers, on the machine's device."""
    import transformers

    quiet()
    slow = training and machine == Machine("cpu", "bfloat16")
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager" if slow else "sdpa", trust_remote_code=False
    )
    return model.to(machine.device).train(training)


def quiet() -> None:
    """Switch off warnings and progress bars of transformers."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def pad(batch: MixtureBatch, eos: int) -> tuple[Tensor, Tensor]:
    """(tokens, labels), both (B, L): responses padded on the right; labels are -100 on prompts and padding.

    It needs no attention mask: padding follows every token with a loss, so causality hides it, and attention without a
    mask is faster.
    """
    length = max(part.prompts.shape[1] + part.responses.shape[1] for part in batch.parts)
    tokens, labels = [], []
    for part in batch.parts:
        row = torch.cat([part.prompts, part.responses], dim=1)
        has_loss = torch.cat([torch.zeros_like(part.prompts, dtype=torch.bool), part.mask], dim=1)
        missing = length - row.shape[1]
        tokens.append(F.pad(row, (0, missing), value=eos))
        labels.append(F.pad(row.masked_fill(~has_loss, IGNORED), (0, missing), value=IGNORED))
    return torch.cat(tokens), torch.cat(labels)


class TrainingStep:
    """An update on a padded batch: forward, loss, backward, clipping, fused AdamW."""

    def __init__(self, folder: Path, machine: Machine, eos: int) -> None:
        self.model, self.machine, self.eos = load(folder, machine, training=True), machine, eos
        self.model.config.use_cache = False
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=OPTIMIZER.lr, fused=True)

    def __call__(self, batch: MixtureBatch) -> Repetition:
        """One update; the batch is padded and moved to the device before the clock starts."""
        tokens, labels = (t.to(self.machine.device) for t in pad(batch, self.eos))
        started = self.machine.clock()
        with self.machine.autocast():
            loss = self.model(input_ids=tokens, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), OPTIMIZER.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Repetition(self.machine.clock() - started, Work(len(tokens), batch.num_tokens))


class Generate:
    """`transformers.generate` with a static key-value cache; it stops when all rows have ended."""

    def __init__(self, model: Any, machine: Machine, task: Task) -> None:
        self.model, self.machine = model, machine
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
        with self.machine.autocast():
            sequences = self.model.generate(
                rows,
                attention_mask=torch.ones_like(rows),
                max_new_tokens=self.max_tokens,
                cache_implementation="static",
                disable_compile=self.machine.device == "cpu",
                **decoding,
            )
        return sequences[:, rows.shape[1] :]
