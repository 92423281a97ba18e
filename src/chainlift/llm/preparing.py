"""A recipe's data looked at before training: counts, an example of each form, overlap; its cost."""

from __future__ import annotations

from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from chainlift.llm import costs, mixture, sizes, sources, timing
from chainlift.llm.lengths import mean_lengths
from chainlift.llm.overlap import overlap
from chainlift.llm.recipe import LlmRecipe
from chainlift.llm.templates import completion, content, prompt

TIMED = 5e8  # parameters; a few updates of more are not for a look on a laptop


def look(recipe: LlmRecipe) -> dict[str, Any]:
    """{train, test, long_share, overlap, short, long}: counts, the realised share of long forms, an example of each."""
    splits = sources.source(recipe.data)
    rows = mixture.rows(splits[0], recipe.mixture, recipe.template, seed=recipe.seed)
    shared = overlap(*splits)
    problem = splits[0][0]
    asked = content(prompt(problem, recipe.template))
    return {
        "train": len(splits[0]),
        "test": len(splits[1]),
        "p_cot": recipe.mixture.p_cot,
        "long_share": sum(row["is_long"] for row in rows) / len(rows),
        "overlap": {
            "exact": len(shared.exact),
            "near": len(shared.near),
            "examples": [asdict(one) for one in shared.examples],
        },
        "short": asked + content(completion(problem, recipe.template, long=False)),
        "long": asked + content(completion(problem, recipe.template, long=True)),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """What `look` found, for people."""
    shared = found["overlap"]
    return [
        f"{found['train']:,} training problems, {found['test']:,} test problems",
        f"{found['long_share']:.1%} of the training problems are long (p_cot {found['p_cot']:g})",
        f"in both: {shared['exact']} questions to the letter, {shared['near']} more that are nearly the same",
        "",
        "a short demonstration:",
        found["short"],
        "",
        "a long one:",
        found["long"],
    ]


def plan(recipe: LlmRecipe, out: Path) -> list[str]:
    """The resolved recipe as YAML, then comments with its cost and folder; no model is loaded or downloaded for it."""
    splits = sources.source(recipe.data)
    lengths, measured = mean_lengths(recipe, splits[0])
    size = sizes.size(recipe.model)
    told = costs.plan(recipe, size, lengths, measured=measured)
    if recipe.device == "cuda":
        told += _launch(recipe)
    if size.parameters < TIMED and recipe.device != "cuda":
        told.append(f"on this machine: {timing.estimate(recipe)}")
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).rstrip()
    return [text, *(f"# {line}" for line in told), f"# folder: {out / recipe.run_id}"]


def _launch(recipe: LlmRecipe) -> list[str]:
    """How the run is begun on several GPUs of one machine."""
    folder = Path(str(resources.files("chainlift"))) / "recipes" / "llm" / "launch"
    return [
        f"on N GPUs: accelerate launch --config_file {folder}/fsdp.yaml --num_processes N -m chainlift llm posttrain "
        f"{recipe.name} ...; beside it ddp.yaml, for a model that fits one GPU, and zero3.yaml"
    ]
