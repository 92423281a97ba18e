"""What theory says of a language model's run before it begins."""

from __future__ import annotations

from typing import Any

from chainlift.llm.recipe import LlmRecipe
from chainlift.theory import closed_forms


def predicted(recipe: LlmRecipe) -> dict[str, Any]:
    """{threshold, greedy, sampled_long_share, ...}; None for each quantity without a closed form.

    Both forms open differently, so the form is chosen at the first token (docs/theory.md, "A marker"): greedy answers
    are short below p_cot = 1/2, and up to 1/(1 + q) where the long form opens with its likeliest word q of the time.
    Accuracies depend on what the model knows, before RL and after it; calibration does not.
    """
    p = recipe.mixture.p_cot
    threshold = closed_forms.threshold(2, marker=True)
    return {
        "threshold": threshold,
        "greedy": "short" if p < threshold else None,
        "greedy_accuracy": None,
        "greedy_length_median": None,
        "greedy_long_share": 0.0 if p < threshold else None,
        "sampled_accuracy": None,
        "sampled_long_share": p,
        "chance": 0.0,
        "stages": {"pretrain": {"sampled_long_share": p}} | ({"posttrain": {}} if recipe.posttrain is not None else {}),
    }
