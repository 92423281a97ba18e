"""How a language model is fine-tuned and post-trained; both carried out by TRL."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from chainlift.settings import Settings

Algorithm = Literal["star", "rloo", "grpo", "dr_grpo", "dapo"]


class TrainerSettings(Settings):
    """What both stages have."""

    lr: float = Field(default=2e-5, gt=0)
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the rate decays to zero at the last update."""
    warmup: int = Field(default=0, ge=0)
    """Updates of linear warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's, on matrices."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest global gradient norm."""
    rows_at_once: int = Field(default=16, ge=1)
    """Sequences of a forward and backward pass on one device: bounds the memory, gradients are summed up."""
    recompute: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Updates between two checkpoints."""


class FinetuneSettings(TrainerSettings):
    """Stage 1: supervised fine-tuning on the mixture, the loss on completions only."""

    steps: int = Field(default=500, ge=1)
    """Updates."""
    batch_size: int = Field(default=64, ge=1)
    """Demonstrations of an update, over all devices."""
    max_length: int = Field(default=512, ge=8)
    """Tokens of prompt and completion; longer demonstrations are left out, and told."""

    @model_validator(mode="after")
    def _divides(self) -> FinetuneSettings:
        if self.batch_size % min(self.rows_at_once, self.batch_size):
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of rows_at_once {self.rows_at_once}")
        return self


class LlmPosttrainSettings(TrainerSettings):
    """Stage 2: reinforcement learning with the reward 1 for a finished response whose answer is right, else 0."""

    algorithm: Algorithm = "grpo"
    """grpo, dr_grpo, dapo (without dynamic sampling) and rloo are TRL's; star samples, keeps what is right, fits it."""
    prompts: int = Field(default=16, ge=1)
    """P: problems of a round."""
    group_size: int = Field(default=8, ge=1)
    """G: samples of a problem; at least 2 but for star."""
    updates: int = Field(default=60, ge=1)
    """Optimizer updates in all."""
    updates_per_round: int = Field(default=8, ge=1)
    """star: updates of a round, on what it kept; the others make one update of each round."""
    restart: bool = False
    """star: begin every round's fit from the fine-tuned model, as Zelikman et al. do, instead of going on."""
    temperature: float = Field(default=1.0, gt=0)
    """Of sampling, and of scoring."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest response; one that does not end by then earns nothing."""
    kl: float = Field(default=0.0, ge=0)
    """Coefficient of KL(policy || fine-tuned model); star has none."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """Who generates; vllm needs a GPU and the package vllm."""
    vllm_memory: float = Field(default=0.3, gt=0, lt=1)
    """Share of the GPU's memory that vllm takes for its copy of the weights and its cache."""

    @model_validator(mode="after")
    def _fits(self) -> LlmPosttrainSettings:
        if self.algorithm != "star" and self.group_size < 2:
            raise ValueError(f"group_size must be at least 2 for {self.algorithm}, which compares samples of a problem")
        if self.algorithm == "star" and self.kl:
            raise ValueError("kl has no place in star, which fits samples")
        if self.algorithm == "star" and self.engine == "vllm":
            raise ValueError("engine vllm goes with TRL's algorithms; star generates with transformers")
        if self.rollouts % min(self.rows_at_once, self.rollouts):
            raise ValueError(f"prompts times group_size ({self.rollouts}) must be a multiple of rows_at_once")
        return self

    @property
    def rollouts(self) -> int:
        """Samples of a round."""
        return self.prompts * self.group_size

    @property
    def rounds(self) -> int:
        """Rounds of sampling."""
        return -(-self.updates // (self.updates_per_round if self.algorithm == "star" else 1))
