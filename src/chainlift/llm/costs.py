"""What a recipe would cost before it runs, by arithmetic that is shown: tokens, GPU-hours, memory, disk.

Nothing is timed, since the machine that plans is seldom the one that runs. Source of the counts: 6 floating-point
operations a parameter and trained token, 2 a generated or scored one (Kaplan et al. 2020, arXiv 2001.08361, table 1),
attention's own part left out, which is small at these lengths. Memory and disk: memory_plan.py.
"""

from __future__ import annotations

from chainlift.llm import memory_plan, rounding
from chainlift.llm.lengths import Lengths
from chainlift.llm.recipe import LlmRecipe
from chainlift.llm.sizes import ModelSize

GPU_FLOPS = 312e12  # an A100's dense bfloat16 rate, by its data sheet
GPU_NAME = "A100-80GB"
TRAIN_SHARE, GENERATE_SHARE = 0.35, 0.05  # of that rate: what well-kept trainers and batched decoding reach


def plan(recipe: LlmRecipe, size: ModelSize, lengths: Lengths, *, measured: str) -> list[str]:
    """Lines of text: sizes, then each stage's tokens, operations and GPU-hours, then memory a device, and the disk.

    measured: where the lengths come from.
    """
    parameters, trained = size.parameters, memory_plan.trained(recipe, size)
    p, tune = recipe.mixture.p_cot, recipe.finetune
    completion = p * lengths.long + (1 - p) * lengths.short
    lines = [
        f"model: {_amount(parameters)} parameters, {_amount(trained)} trained"
        + (f" (adapters of rank {recipe.model.lora.rank})" if recipe.model.lora is not None else ""),
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
    return [*lines, *memory_plan.lines(recipe, size, lengths), *_rounded_away(recipe)]


def _rounded_away(recipe: LlmRecipe) -> list[str]:
    """How many bfloat16 weights the rates cannot change, if all weights are trained in that form."""
    if recipe.model.weights != "bfloat16" or recipe.model.lora is not None:
        return []
    rates = {"finetune.lr": recipe.finetune.lr}
    if recipe.posttrain is not None:
        rates["posttrain.lr"] = recipe.posttrain.lr
    return [
        f"model.weights=bfloat16: of weights with a standard deviation of {rounding.TYPICAL_SD} a step of {key}={lr:g} "
        f"changes {rounding.changeable_share_of_normal(lr):.2%}"
        for key, lr in rates.items()
    ]


def _amount(count: int) -> str:
    """A number of parameters for people."""
    return f"{count / 1e9:.3g} billion" if count >= 1e9 else f"{count / 1e6:.3g} million"


def _stage(name: str, tokens: float, formula: str, work: float, share: float) -> str:
    return f"{name}: {tokens:.3g} tokens, {formula} = {work:.2g} operations, {_hours(work, share):.2g} GPU-hours"


def _hours(work: float, share: float) -> float:
    return work / (GPU_FLOPS * share) / 3600
