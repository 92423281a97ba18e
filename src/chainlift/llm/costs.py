"""What a recipe would cost before it runs, by arithmetic that is shown: memory, tokens, GPU-hours.

Nothing is timed, since the machine that plans is seldom the one that runs. Source of the counts: 6 floating-point
operations a parameter and trained token, 2 a generated or scored one (Kaplan et al. 2020, arXiv 2001.08361, table 1),
attention's own part left out, which is small at these lengths; AdamW in mixed precision keeps 16 bytes a trained
parameter: weight, gradient and two averages in float32 (Rajbhandari et al. 2020, arXiv 1910.02054, section 3.1).
"""

from __future__ import annotations

from typing import Any

from chainlift.llm.lengths import Lengths
from chainlift.llm.recipe import LlmRecipe

GIB = 2**30
GPU_FLOPS = 312e12  # an A100's dense bfloat16 rate, by its data sheet
GPU_NAME, GPU_GIB = "A100-80GB", 80
TRAIN_SHARE, GENERATE_SHARE = 0.35, 0.05  # of that rate: what well-kept trainers and batched decoding reach


def plan(recipe: LlmRecipe, parameters: int, lengths: Lengths, *, measured: str) -> list[str]:
    """Lines of text: sizes, then each stage's tokens, operations and GPU-hours, then memory a device.

    parameters: of the model; measured: where the lengths come from.
    """
    trained = _trained(recipe, parameters)
    p, tune = recipe.mixture.p_cot, recipe.finetune
    completion = p * lengths.long + (1 - p) * lengths.short
    lines = [
        f"model: {parameters / 1e9:.3g} billion parameters, {trained / 1e9:.3g} billion of them trained",
        f"tokens a demonstration: prompt {lengths.prompt:.0f} + completion {completion:.0f} "
        f"(short {lengths.short:.0f}, long {lengths.long:.0f}, p_cot {p:g}; {measured})",
    ]
    tokens = tune.steps * tune.batch_size * (lengths.prompt + completion)
    work = 6 * parameters * tokens
    lines.append(_stage("fine-tuning", tokens, f"6 x {parameters:.3g} x {tokens:.3g}", work, TRAIN_SHARE))
    hours = _hours(work, TRAIN_SHARE)
    if recipe.posttrain is not None:
        rl = recipe.posttrain
        samples = rl.rounds * rl.rollouts
        generated = samples * min(lengths.long, rl.max_tokens)
        seen = samples * (lengths.prompt + min(lengths.long, rl.max_tokens))
        lines.append(
            _stage(
                "RL, sampling",
                generated,
                f"2 x {parameters:.3g} x {generated:.3g}",
                2 * parameters * generated,
                GENERATE_SHARE,
            )
        )
        passes = 8 if rl.kl == 0 else 10  # one more forward pass for old log-probabilities, one for the reference's
        lines.append(
            _stage(
                "RL, updates",
                seen,
                f"{passes} x {parameters:.3g} x {seen:.3g}",
                passes * parameters * seen,
                TRAIN_SHARE,
            )
        )
        hours += _hours(2 * parameters * generated, GENERATE_SHARE) + _hours(passes * parameters * seen, TRAIN_SHARE)
    lines.append(
        f"sum: about {hours:.2g} hours of one {GPU_NAME} ({GPU_FLOPS / 1e12:.0f} TFLOP/s; {TRAIN_SHARE:.0%} of it in "
        f"training, {GENERATE_SHARE:.0%} in sampling; evaluations come on top)"
    )
    return [*lines, *_memory(recipe, parameters, trained, lengths)]


def _trained(recipe: LlmRecipe, parameters: int) -> int:
    """Parameters that are trained: all, or a rough count of the adapters'."""
    lora = recipe.model.lora
    return parameters if lora is None else int(parameters * min(lora.rank * 7.5e-4, 1.0))


def _stage(name: str, tokens: float, formula: str, work: float, share: float) -> str:
    return f"{name}: {tokens:.3g} tokens, {formula} = {work:.2g} operations, {_hours(work, share):.2g} GPU-hours"


def _hours(work: float, share: float) -> float:
    return work / (GPU_FLOPS * share) / 3600


def _memory(recipe: LlmRecipe, parameters: int, trained: int, lengths: Lengths) -> list[str]:
    """Memory of weights and optimiser, and on how many devices of 80 GB that fits when it is sharded."""
    weight = 2 if recipe.model.weights == "bfloat16" else 4
    states = parameters * weight + trained * (16 - 4 if weight == 4 else 16)
    reference = parameters * weight if recipe.posttrain is not None and recipe.posttrain.kl else 0
    total = (states + reference) / GIB
    devices = 1
    while total / devices > 0.7 * GPU_GIB:  # the rest is for activations and caches
        devices *= 2
    told = f"memory: weights {parameters:.3g} x {weight} B, gradients and AdamW {trained:.3g} x {16 - weight} B"
    if reference:
        told += f", reference model {parameters:.3g} x {weight} B"
    return [f"{told} = {total:.3g} GiB: {devices} device{'s' if devices > 1 else ''} of {GPU_GIB} GB, states sharded"]


def count(model: Any) -> int:
    """Parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())
