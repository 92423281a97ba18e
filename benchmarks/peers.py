"""The peers that the engine is timed against, each set up as a careful user of it would for speed on a CPU.

transformers: a GPT-2 training step on the padded batch, and `generate`; TRL: one update of GRPOTrainer or
RLOOTrainer. No logging, saving, progress bar, dropout, gradient checkpointing or reference model is on. Every
function returns seconds per repetition without the first one, which pays for allocation. Threads are the
caller's business. Choices made by measurement, in favour of the peers: scaled-dot-product attention without a
mask, the static cache, and MICRO_BATCH.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import transformers
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from chainlift.tasks.mixture import MixtureBatch

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
IGNORED = -100  # transformers: no loss where the label is this
MICRO_BATCH = 64  # rows that TRL learns from at a time: 64 was as fast as 32, faster than 256


@dataclass(frozen=True)
class Size:
    """The size of a GPT-2; `context` counts positions and must hold prompt, response and <eos>."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int


def gpt2_step(size: Size, batches: Sequence[MixtureBatch], eos: int) -> list[float]:
    """Seconds of each training step after the first: forward, loss, backward, clipping, fused AdamW.

    Padding is done before the clock starts.
    """
    config = GPT2Config(
        n_layer=size.layers,
        n_embd=size.width,
        n_head=size.heads,
        vocab_size=size.vocabulary,
        n_positions=size.context,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=eos,
        eos_token_id=eos,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    padded = iter([pad(batch, eos) for batch in batches])

    def step() -> None:
        tokens, labels = next(padded)
        model(input_ids=tokens, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return _timed(step, len(batches))


def pad(batch: MixtureBatch, eos: int) -> tuple[Tensor, Tensor]:
    """(tokens, labels), both (B, L): responses right-padded; labels -100 on prompts and padding.

    No attention mask goes with it: padding on the right is behind every token that has a loss, so causality
    hides it, and attention without a mask is the faster one.
    """
    length = max(part.prompts.shape[1] + part.responses.shape[1] for part in batch.parts)
    tokens, labels = [], []
    for part in batch.parts:
        row = torch.cat([part.prompts, part.responses], dim=1)
        missing = length - row.shape[1]
        label = row.clone()
        label[:, : part.prompts.shape[1]] = IGNORED
        tokens.append(torch.nn.functional.pad(row, (0, missing), value=eos))
        labels.append(torch.nn.functional.pad(label, (0, missing), value=IGNORED))
    return torch.cat(tokens), torch.cat(labels)


def generate(folder: Path, prompts: Tensor, *, group_size: int, max_tokens: int, repeats: int) -> list[float]:
    """Seconds of each `transformers.generate` after the first: `group_size` samples to prompts (P, T).

    Temperature 1 over the whole vocabulary, at most `max_tokens` tokens. It stops when all rows have ended.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    rows = prompts.repeat_interleave(group_size, dim=0)
    mask = torch.ones_like(rows)

    @torch.inference_mode()
    def sample() -> None:
        model.generate(
            rows,
            attention_mask=mask,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            max_new_tokens=max_tokens,
            cache_implementation="static",
            disable_compile=True,
        )

    return _timed(sample, repeats)


def trl_update(
    folder: Path,
    prompts: Tensor,
    *,
    group_size: int,
    max_tokens: int,
    updates: int,
    algorithm: Literal["grpo", "rloo"] = "grpo",
    micro_batch: int | None = None,
    learning_rate: float = 1e-6,
) -> list[float]:
    """Seconds of each optimiser step after the first: sample P * group_size responses, score, learn.

    `folder` holds model and tokenizer (models/hub.py); prompts are (updates * P, T) digits of parity. All
    rows are sampled in one batch and learnt from `micro_batch` at a time, with accumulated gradients; the
    default is the largest common divisor with MICRO_BATCH. The learning rate is TRL's own, low enough that
    the model stays in the state in which it was given. ValueError if prompts do not divide into updates.
    """
    if not len(prompts) or len(prompts) % updates:
        raise ValueError(f"{len(prompts)} prompts do not divide into {updates} updates")
    per_update = len(prompts) // updates * group_size
    micro_batch = micro_batch or math.gcd(per_update, MICRO_BATCH)
    clock = StepClock()
    with TemporaryDirectory() as scratch:
        settings: dict[str, Any] = {
            "output_dir": scratch,
            "max_steps": updates,
            "num_generations": group_size,
            "max_completion_length": max_tokens,
            "cache_implementation": "static",
            "per_device_train_batch_size": micro_batch,
            "gradient_accumulation_steps": per_update // micro_batch,
            "learning_rate": learning_rate,
            "beta": 0.0,
            "optim": "adamw_torch_fused",
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
        }
        digits = prompts.tolist()
        rows = {
            "prompt": ["".join(map(str, row)) for row in digits],
            "answer": [sum(row) % 2 for row in digits],
        }
        parts: dict[str, Any] = {
            "model": AutoModelForCausalLM.from_pretrained(folder),
            "processing_class": AutoTokenizer.from_pretrained(folder),
            "reward_funcs": answer_is_parity,
            "train_dataset": Dataset.from_dict(rows),
            "callbacks": [clock],
        }
        if algorithm == "grpo":
            trainer = GRPOTrainer(args=GRPOConfig(**settings, loss_type="grpo"), **parts)
        else:
            trainer = RLOOTrainer(args=RLOOConfig(**settings), **parts)
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return clock.seconds[1:]


def answer_is_parity(completion_ids: list[list[int]], answer: list[int], **_: Any) -> list[float]:
    """1.0 for each completion that ends in the right digit and <eos> (id 2), else 0.0."""
    return [float(ids[-2:] == [right, 2]) for ids, right in zip(completion_ids, answer, strict=True)]


class StepClock(transformers.TrainerCallback):
    """Seconds from the beginning to the end of each optimiser step, sampling and rewards included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def _timed(action: Callable[[], None], repeats: int) -> list[float]:
    """Seconds of each repetition after the first."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]
