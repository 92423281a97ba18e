"""What a recipe's sizes need in memory, estimated from below: a run that cannot fit is refused before it begins."""

from __future__ import annotations

from chainlift import memory
from chainlift.models import families
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.settings import Settings
from chainlift.stages.recipe import Recipe
from chainlift.tasks import registry as tasks
from chainlift.text.task import is_text

TOKEN = 8  # bytes of a token, int64
NUMBER = 4  # bytes of a weight, float32
TRAINING = 4  # a weight, its gradient and AdamW's two averages


def check(recipe: Recipe, device: str) -> None:
    """ValueError that names the keys whose sizes do not fit into this machine's memory."""
    for key, needed in bytes_of(recipe, device).items():
        memory.check(key, needed)


def bytes_of(recipe: Recipe, device: str) -> dict[str, float]:
    """{keys: bytes that they need at least}; on a GPU weights pass through the machine's memory only once."""
    if is_text(recipe.task):
        return _of_text(recipe, recipe.task.max_tokens, device)
    task = tasks.build(recipe.task)
    positions = task.prompt_length + task.long_length + 1
    row = TOKEN * positions
    weights = NUMBER * families.fewest_parameters(recipe.model, positions)
    found: dict[str, float] = {
        "model": weights * (TRAINING if device == "cpu" else 1),
        "evaluate.prompts": recipe.evaluate.prompts * row,
        "evaluate.during": recipe.evaluate.during * row,
        "evaluate.pass_at_k_prompts": recipe.evaluate.pass_at_k_prompts * row,
        "evaluate.pass_at_k_samples": cache_bytes(recipe.model, recipe.evaluate.pass_at_k_samples, positions, device),
    }
    for name, stage in recipe.stages.items():
        for keys, rows in stage.rows_in_memory().items():
            found[", ".join(f"{name}.{key}" for key in keys.split(", "))] = rows * row
    return found


def _of_text(recipe: Recipe, max_tokens: int, device: str) -> dict[str, float]:
    """Of a language model from scratch; one that is opened tells its size by its files (--dry-run plans its memory)."""
    assert isinstance(recipe.model, PretrainedSettings)
    scratch, evaluate = recipe.model.scratch, recipe.evaluate
    row = float(TOKEN * max_tokens)
    responses = {
        "evaluate.prompts": evaluate.prompts * row,
        "evaluate.during": evaluate.during * row,
        "evaluate.pass_at_k_prompts, pass_at_k_samples": evaluate.pass_at_k_prompts * evaluate.pass_at_k_samples * row,
    }
    if scratch is None:
        return responses
    return {"model": NUMBER * scratch.parameters * (TRAINING if device == "cpu" else 1.0)} | responses


def cache_bytes(model: Settings, rows: int, positions: int, device: str = "cpu") -> float:
    """Bytes of the tokens of rows that are sampled at once, and of what the model caches of them."""
    needed = float(rows * positions * TOKEN)
    if device == "cpu":
        needed += families.family_of(model).cache_bytes(model, rows, positions)
    return needed
