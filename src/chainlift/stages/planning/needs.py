"""Lower bounds of a recipe's memory: a run that cannot fit is refused before it starts."""

from __future__ import annotations

from chainlift import memory
from chainlift.models import families
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.settings import Settings
from chainlift.stages.recipe import Recipe
from chainlift.stages.task import task_of
from chainlift.tasks.lengths import longest_sequence
from chainlift.text.task import is_text

TOKEN = 8  # bytes of a token, int64
NUMBER = 4  # bytes of a weight, float32
TRAINING = 3  # further numbers in float32 for each trained weight: its gradient and AdamW's two averages


def check(recipe: Recipe, device: str) -> None:
    """ValueError that names the keys whose sizes do not fit this machine's memory."""
    for key, needed in bytes_of(recipe, device).items():
        memory.check(key, needed)


def bytes_of(recipe: Recipe, device: str) -> dict[str, float]:
    """{keys: fewest bytes that they need}; on a GPU the machine's memory holds one copy of the weights."""
    if recipe.by_trl:
        return _by_trl(recipe, device)
    task = task_of(recipe)
    families.check(recipe.model, task)
    positions = longest_sequence(task)
    row = TOKEN * positions
    weight = weight_bytes(recipe.model, in_training=device == "cpu")
    needed: dict[str, float] = {
        "model": weight * families.fewest_parameters(recipe.model, positions),
        "evaluate.prompts": recipe.evaluate.prompts * row,
        "evaluate.during": recipe.evaluate.during * row,
        "evaluate.pass_at_k_prompts": recipe.evaluate.pass_at_k_prompts * row,
        "evaluate.pass_at_k_samples": cache_bytes(recipe.model, recipe.evaluate.pass_at_k_samples, positions, device),
    }
    for name, stage in recipe.stages.items():
        for keys, rows in stage.rows_in_memory().items():
            needed[", ".join(f"{name}.{key}" for key in keys.split(", "))] = rows * row
    return needed


def _by_trl(recipe: Recipe, device: str) -> dict[str, float]:
    """{keys: fewest bytes} for a model of transformers; weights count only from scratch (--dry-run plans others)."""
    assert isinstance(recipe.model, PretrainedSettings)
    assert is_text(recipe.task)
    scratch, evaluate = recipe.model.scratch, recipe.evaluate
    row = float(TOKEN * recipe.task.max_tokens)
    responses = {
        "evaluate.prompts": evaluate.prompts * row,
        "evaluate.during": evaluate.during * row,
        "evaluate.pass_at_k_prompts, pass_at_k_samples": evaluate.pass_at_k_prompts * evaluate.pass_at_k_samples * row,
    }
    if scratch is None:
        return responses
    return {"model": NUMBER * scratch.parameters * (1.0 + TRAINING if device == "cpu" else 1.0)} | responses


def weight_bytes(model: Settings, *, in_training: bool) -> int:
    """Fewest bytes for a weight: itself and, in training, what its update needs; bfloat16 has a master in float32."""
    is_low, is_frozen = getattr(model, "weights", "float32") == "bfloat16", getattr(model, "lora", None) is not None
    stored = NUMBER // 2 if is_low else NUMBER
    return stored + NUMBER * (TRAINING + is_low) * (in_training and not is_frozen)


def cache_bytes(model: Settings, rows: int, positions: int, device: str = "cpu") -> float:
    """Bytes of the tokens of rows that are sampled at once, and of the model's cache for them."""
    needed = float(rows * positions * TOKEN)
    if device == "cpu":
        needed += families.family_of(model).cache_bytes(model, rows, positions)
    return needed
