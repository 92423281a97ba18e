"""Estimated cost of a recipe by arithmetic: tokens, GPU-hours, memory, disk.

Nothing is timed, since the machine that plans is seldom the one that runs. Source of the counts: 6 floating-point
operations per parameter for a trained token, 2 for a generated or scored one (Kaplan et al. 2020, arXiv 2001.08361,
table 1), without attention's own part, which is small at these lengths. Memory and disk: memory_plan.py.
"""

from __future__ import annotations

from chainlift.models.pretrained import rounding
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.sizes import ModelSize
from chainlift.stages.recipe import Recipe
from chainlift.stages.trl.lengths import Lengths
from chainlift.stages.trl.memory_plan import MemoryPlan
from chainlift.stages.trl.stage import TrlStage
from chainlift.stages.trl.work import GPU_FLOPS, NumTokens, Work
from chainlift.text.task import is_text

GPU_NAME = "A100-80GB"


def plan(recipe: Recipe, size: ModelSize, lengths: Lengths, *, measured: str) -> list[str]:
    """Lines of the plan: sizes, each stage's tokens, operations and GPU-hours, memory of a device, and the disk.

    measured: where the lengths come from.
    """
    memory, model = MemoryPlan(recipe, size, lengths), recipe.model
    assert isinstance(model, PretrainedSettings)
    p = recipe.mixture.mean
    completion = p * lengths.long + (1 - p) * lengths.short
    counted = {name: stage for name, stage in recipe.stages.items() if isinstance(stage, TrlStage)}
    works = [(name, work) for name, stage in counted.items() for work in stage.work(_num_tokens(recipe, name, lengths))]
    others = [f"{name}: no estimate for its kind" for name in recipe.stages if name not in counted]
    hours = sum(work.hours(size.parameters) for _, work in works)
    return [
        f"model: {_amount(size.parameters)} parameters, {_amount(memory.trained)} trained"
        + (f" (adapters of rank {model.lora.rank})" if model.lora is not None else ""),
        f"tokens a demonstration: prompt {lengths.prompt:.0f} + completion {completion:.0f} "
        f"(short {lengths.short:.0f}, long {lengths.long:.0f}, p_cot {p:g}; {measured})",
        *(work.line(name, size.parameters) for name, work in works),
        *others,
        f"sum: about {hours:.2g} hours of one {GPU_NAME} ({GPU_FLOPS / 1e12:.0f} TFLOP/s; "
        f"{Work.TRAIN_SHARE:.0%} of it in training, {Work.GENERATE_SHARE:.0%} in sampling; evaluations come on top)",
        *memory.lines(),
        *_rounded_away(recipe, model),
    ]


def _num_tokens(recipe: Recipe, name: str, lengths: Lengths) -> NumTokens:
    """Tokens that a stage processes; with match_tokens, from those of the matched stage."""
    stage = recipe.stages[name]
    assert isinstance(stage, TrlStage)
    assert is_text(recipe.task)
    matched = getattr(stage, "match_tokens", None)
    if matched is None:
        return stage.num_tokens(lengths, recipe.mixture_of(name), recipe.task.max_tokens)
    matched_tokens = _num_tokens(recipe, matched, lengths)
    return NumTokens(trained=matched_tokens.processed * getattr(stage, "token_ratio", 1.0))


def _rounded_away(recipe: Recipe, model: PretrainedSettings) -> list[str]:
    """Lines with the share of bfloat16 weights that each rate can change, if all weights are trained in that format."""
    if model.weights != "bfloat16" or model.lora is not None:
        return []
    rates = {f"{name}.lr": float(getattr(stage, "lr", 0.0)) for name, stage in recipe.stages.items()}
    return [
        f"model.weights=bfloat16: of weights with a standard deviation of {rounding.TYPICAL_SD} a step of {key}={lr:g} "
        f"changes {rounding.changeable_share_of_normal(lr):.2%}"
        for key, lr in rates.items()
    ]


def _amount(count: int) -> str:
    """A number of parameters in words."""
    return f"{count / 1e9:.3g} billion" if count >= 1e9 else f"{count / 1e6:.3g} million"
