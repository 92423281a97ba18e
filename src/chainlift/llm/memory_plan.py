"""What a recipe would take of a device's memory and of the disk, by arithmetic that is shown.

Weights, gradients and AdamW's two averages are counted by the bytes of their numbers (Rajbhandari et al. 2020, arXiv
1910.02054, section 3.1); what a pass forward keeps for the pass backward by KEPT; what sampling holds by
sampling_memory.py. TRL computes logits a few tokens at a time, so that an update holds next to none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from chainlift.llm.lengths import Lengths
from chainlift.llm.recipe import LlmRecipe
from chainlift.llm.sampling_memory import GIB, row_bytes
from chainlift.llm.settings import TrainerSettings
from chainlift.llm.sizes import ModelSize

GPU_GIB = 80
USABLE = 0.92  # of it; the rest goes to fragments and buffers
KEPT = {"float32": (16, 16, 24), "autocast": (10, 8, 24), "bfloat16": (12, 8, 12)}
"""Bytes that a block of transformers' Llama keeps of a token, for each unit of its width, of its MLP's, of its keys'.

Counted in transformers 5.24; tests/llm/test_memory_plan.py counts again.
"""


@dataclass(frozen=True)
class Phase:
    """What a device holds in one part of a run, in bytes by name."""

    name: str
    states: dict[str, float]
    """Of weights and optimizer, which several devices can divide."""
    own: dict[str, float]
    """Of the rows that one device works on."""

    def line(self) -> str:
        """For people."""
        parts = {key: value for key, value in (self.states | self.own).items() if value}
        told = " + ".join(f"{key} {value / GIB:.3g}" for key, value in parts.items())
        return f"memory, {self.name}: {told} = {sum(parts.values()) / GIB:.3g} GiB"

    def fits(self, devices: int) -> bool:
        """Whether so many devices of GPU_GIB that divide the states have room."""
        return sum(self.states.values()) / devices + sum(self.own.values()) <= USABLE * GPU_GIB * GIB


def lines(recipe: LlmRecipe, size: ModelSize, lengths: Lengths) -> list[str]:
    """Memory of each part of a run, on how many devices it fits, and the disk that it takes at most."""
    found = phases(recipe, size, lengths)
    devices = 1
    while not all(phase.fits(devices) for phase in found) and devices < 1024:
        devices *= 2
    fits = all(phase.fits(devices) for phase in found)
    told = f"{devices} device{'s' if devices > 1 else ''} of {GPU_GIB} GB, states sharded"
    return [
        *(phase.line() for phase in found),
        f"so it takes {told}" if fits else f"so it fits no number of devices of {GPU_GIB} GB: take fewer rows_at_once",
        _disk(recipe, size),
    ]


def phases(recipe: LlmRecipe, size: ModelSize, lengths: Lengths) -> list[Phase]:
    """The parts of a run that may need the most memory."""
    tune, rl, asked = recipe.finetune, recipe.posttrain, recipe.evaluate
    updates = _states(recipe, size, with_gradients=True)
    still = _states(recipe, size, with_gradients=False)
    reference = {}
    if rl is not None and rl.kl and recipe.model.lora is None:
        reference = {"reference model": float(size.parameters * _weight_bytes(recipe))}

    def update(name: str, stage: TrainerSettings, most: int, tokens: float, states: dict[str, float]) -> Phase:
        rows = min(stage.rows_at_once, most)
        key = f"activations of {rows} x {tokens:.0f} tokens"
        return Phase(name, states, {key: activation_bytes(recipe, size, rows * tokens, recompute=stage.recompute)})

    def sampling(name: str, rows: int, tokens: float, states: dict[str, float]) -> Phase:
        weights = getattr(torch, recipe.model.weights)
        row = row_bytes(size.config, round(tokens), weights, bfloat16=recipe.dtype == "bfloat16")
        rows = max(1, min(rows, int(recipe.sampling_gib * GIB // row)))
        return Phase(name, states, {f"cache and logits of {rows} x {tokens:.0f} tokens": float(rows * row)})

    # Demonstrations are at most max_length long, and one of the longest comes some time.
    found = [update("fine-tuning", tune, tune.batch_size, tune.max_length, updates)]
    found.append(sampling("evaluation", asked.rows_at_once, lengths.prompt + asked.max_tokens, still))
    if rl is not None:
        tokens = lengths.prompt + rl.max_tokens
        if rl.engine == "transformers":
            rows = asked.rows_at_once if rl.algorithm == "star" else rl.rollouts
            found.append(sampling("RL, sampling", rows, tokens, still | reference))
        found.append(update("RL, updates", rl, rl.rollouts, tokens, updates | reference))
    return found


def activation_bytes(recipe: LlmRecipe, size: ModelSize, tokens: float, *, recompute: bool) -> float:
    """What a pass over so many tokens keeps for the pass backward."""
    width, layers = size.config.hidden_size, size.config.num_hidden_layers
    heads = getattr(size.config, "num_key_value_heads", None) or size.config.num_attention_heads
    head = getattr(size.config, "head_dim", None) or width // size.config.num_attention_heads
    kind = "autocast" if recipe.dtype == "bfloat16" and _weight_bytes(recipe) == 4 else recipe.model.weights
    of_width, of_mlp, of_keys = KEPT[kind]
    block = of_width * width + of_mlp * size.mlp + of_keys * heads * head
    if recompute:
        return tokens * (layers * width * _weight_bytes(recipe) + block)  # each block's input, and one block whole
    return tokens * layers * block


def trained(recipe: LlmRecipe, size: ModelSize) -> int:
    """Parameters that are trained."""
    lora = recipe.model.lora
    return size.parameters if lora is None else size.adapters(lora)


def _weight_bytes(recipe: LlmRecipe) -> int:
    return getattr(torch, recipe.model.weights).itemsize


def _trained_bytes(recipe: LlmRecipe) -> int:
    """Bytes of a trained number, of its gradient and of its averages: adapters are float32."""
    return 4 if recipe.model.lora is not None else _weight_bytes(recipe)


def _states(recipe: LlmRecipe, size: ModelSize, *, with_gradients: bool) -> dict[str, float]:
    """Bytes of the model and its optimizer."""
    count, each = trained(recipe, size), _trained_bytes(recipe)
    found = {"weights": float(size.parameters * _weight_bytes(recipe))}
    if recipe.model.lora is not None:
        found["adapters"] = float(count * each)
    if recipe.dtype == "bfloat16" and _weight_bytes(recipe) == 4:
        found["their bfloat16 copy"] = float(size.parameters * 2)  # autocast holds on to it while a pass goes on
    found["AdamW"] = float(2 * count * each)
    if with_gradients:
        found["gradients"] = float(count * each)
    return found


def _disk(recipe: LlmRecipe, size: ModelSize) -> str:
    """What lies on the disk at most: two checkpoints of a trainer while one is written, and each stage's model."""
    model = size.parameters * _weight_bytes(recipe)
    count, each = trained(recipe, size), _trained_bytes(recipe)
    weights = model if recipe.model.lora is None else count * each
    rl = recipe.posttrain
    rounds_only = rl is not None and rl.algorithm == "star"
    checkpoint = weights + 2 * count * each
    models = 1 if rl is None else 2  # the shared folder's, and its copy in the run's
    in_rl = weights if rounds_only else checkpoint
    most = model * models + max(2 * in_rl, in_rl + model) if rl is not None else 0
    most = max(most, 2 * checkpoint, checkpoint + model)
    return (
        f"disk: checkpoints of {checkpoint / 1e9:.3g} GB, two while one is written, models of {model / 1e9:.3g} GB, "
        f"at most {most / 1e9:.3g} GB together"
    )
