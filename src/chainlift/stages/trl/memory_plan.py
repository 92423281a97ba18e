"""Estimated device memory and disk of a recipe, by arithmetic.

Weights, gradients and AdamW's two averages are counted by the bytes of their numbers (Rajbhandari et al. 2020, arXiv
1910.02054, section 3.1), activations by ACTIVATION_BYTES, and sampling by sampling_memory.py. TRL computes logits a few
tokens at a time, so that an update needs almost no memory for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.sampling_memory import GIB, row_bytes
from chainlift.models.pretrained.sizes import ModelSize
from chainlift.stages import starts
from chainlift.stages.recipe import Recipe
from chainlift.stages.trl.lengths import Lengths
from chainlift.stages.trl.stage import TrlStage
from chainlift.text.task import is_text

GPU_GIB = 80
USABLE = 0.92  # of it; the rest goes to fragments and buffers
ACTIVATION_BYTES = {"float32": (16, 16, 24), "autocast": (10, 8, 24), "bfloat16": (12, 8, 12)}
"""Bytes that a block of transformers' Llama keeps of a token, per unit of its width, its MLP's and its keys'.

Counted in transformers 5.24; tests/stages/trl/test_memory_plan.py counts again.
"""


@dataclass(frozen=True)
class Phase:
    """Memory of a device in one phase of a run, in bytes by name."""

    name: str
    states: dict[str, float]
    """Memory of weights and optimizer, which can be sharded between devices."""
    per_device: dict[str, float]
    """Memory of the rows that one device works on."""

    def line(self) -> str:
        """The plan as a line of the dry run."""
        parts = {key: value for key, value in (self.states | self.per_device).items() if value}
        terms = " + ".join(f"{key} {value / GIB:.3g}" for key, value in parts.items())
        return f"memory, {self.name}: {terms} = {sum(parts.values()) / GIB:.3g} GiB"

    def fits(self, devices: int) -> bool:
        """Whether the phase fits this many devices of GPU_GIB with sharded states."""
        return sum(self.states.values()) / devices + sum(self.per_device.values()) <= USABLE * GPU_GIB * GIB


class MemoryPlan:
    """Memory of the phases of a recipe's run; stages describe their phases through it."""

    def __init__(self, recipe: Recipe, size: ModelSize, lengths: Lengths) -> None:
        assert isinstance(recipe.model, PretrainedSettings)
        assert is_text(recipe.task)
        self.recipe, self.size, self.lengths = recipe, size, lengths
        self.settings, self.max_tokens = recipe.model, recipe.task.max_tokens

    @property
    def trained(self) -> int:
        """Number of trained parameters."""
        return self.size.parameters if self.settings.lora is None else self.size.adapters(self.settings.lora)

    def lines(self) -> list[str]:
        """Lines with the memory of each phase, the number of devices that it fits, and the disk space."""
        phases = self.phases()
        devices = 1
        while not all(phase.fits(devices) for phase in phases) and devices < 1024:
            devices *= 2
        fits = all(phase.fits(devices) for phase in phases)
        needed = f"so it takes {devices} device{'s' if devices > 1 else ''} of {GPU_GIB} GB, states sharded"
        never = f"so it fits no number of devices of {GPU_GIB} GB: take a smaller micro_batch_size"
        return [*(phase.line() for phase in phases), needed if fits else never, self._disk()]

    def phases(self) -> list[Phase]:
        """Phases of a run that may need the most memory: those of each stage, and evaluations."""
        phases = []
        for name, stage in self.recipe.stages.items():
            if isinstance(stage, TrlStage):
                phases += stage.memory(name, self)
        return [*phases, self.sampling("evaluation", self.settings.sampling_rows)]

    def update(self, name: str, stage: TrlStage, most: int, tokens: float, *, reference: bool = False) -> Phase:
        """The phase of updates on at most `most` rows of `tokens` each; reference: with a second copy of the model."""
        rows = min(stage.micro_batch_size, most)
        key = f"activations of {rows} x {tokens:.0f} tokens"
        kept = self.activation_bytes(rows * tokens, checkpointing=stage.gradient_checkpointing)
        return Phase(name, self._states(with_gradients=True, reference=reference), {key: kept})

    def sampling(self, name: str, rows: int, *, reference: bool = False) -> Phase:
        """The phase of sampling `rows` responses at once, or fewer by `sampling_gib`, to prompts of mean length."""
        weights = getattr(torch, self.settings.weights)
        tokens = self.lengths.prompt + self.max_tokens
        row = row_bytes(self.size.config, round(tokens), weights, bfloat16=self.recipe.dtype == "bfloat16")
        rows = max(1, min(rows, int(self.settings.sampling_gib * GIB // row)))
        states = self._states(with_gradients=False, reference=reference)
        return Phase(name, states, {f"cache and logits of {rows} x {tokens:.0f} tokens": float(rows * row)})

    def activation_bytes(self, tokens: float, *, checkpointing: bool) -> float:
        """Bytes that a forward pass over this many tokens keeps for the backward pass."""
        config = self.size.config
        width, layers = config.hidden_size, config.num_hidden_layers
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head = getattr(config, "head_dim", None) or width // config.num_attention_heads
        autocast = self.recipe.dtype == "bfloat16" and self._weight_bytes == 4
        of_width, of_mlp, of_keys = ACTIVATION_BYTES["autocast" if autocast else self.settings.weights]
        block = of_width * width + of_mlp * self.size.mlp + of_keys * heads * head
        if checkpointing:
            return tokens * (layers * width * self._weight_bytes + block)  # each block's input, and all of one block
        return tokens * layers * block

    @property
    def _weight_bytes(self) -> int:
        return getattr(torch, self.settings.weights).itemsize

    @property
    def _trained_bytes(self) -> int:
        """Bytes of a trained number; adapters are float32."""
        return 4 if self.settings.lora is not None else self._weight_bytes

    def _states(self, *, with_gradients: bool, reference: bool = False) -> dict[str, float]:
        """Bytes of the model and its optimizer, by name."""
        count, each = self.trained, self._trained_bytes
        states = {"weights": float(self.size.parameters * self._weight_bytes)}
        if self.settings.lora is not None:
            states["adapters"] = float(count * each)
        if self.recipe.dtype == "bfloat16" and self._weight_bytes == 4:
            # Autocast keeps it during a pass.
            states["their bfloat16 copy"] = float(self.size.parameters * 2)
        states["AdamW"] = float(2 * count * each)
        if with_gradients:
            states["gradients"] = float(count * each)
        if reference and self.settings.lora is None:
            states["reference model"] = float(self.size.parameters * self._weight_bytes)
        return states

    def _num_kept(self, name: str) -> int:
        """Number of kept checkpoints of a stage, without its last one."""
        stage = self.recipe.stages[name]
        needed, total = starts.steps_needed(self.recipe.stages, name), stage.total_steps or 0
        every = getattr(stage, "checkpoint_every", 1)
        return sum(
            step in needed or stage.keeps(step) or (stage.keep == "all" and step % every == 0)
            for step in range(1, total)
        )

    def _disk(self) -> str:
        """A line with the most disk space: two checkpoints of a trainer while one is written, and two copies, the run's
        and the shared one, of each finished stage's model and of each kept checkpoint.
        """
        model = self.size.parameters * self._weight_bytes
        weights = model if self.settings.lora is None else self.trained * self._trained_bytes
        checkpoint = weights + 2 * self.trained * self._trained_bytes
        stages, kept = len(self.recipe.stages), sum(map(self._num_kept, self.recipe.stages))
        most = max(2 * model * (stages - 1) + 2 * checkpoint, 2 * model * stages) + 2 * kept * checkpoint
        of_stages = "two of each stage" + (f" and of {kept} kept checkpoints" if kept else "")
        return (
            f"disk: checkpoints of {checkpoint / 1e9:.3g} GB, two while one is written, models of "
            f"{model / 1e9:.3g} GB, {of_stages}, at most {most / 1e9:.3g} GB together"
        )
