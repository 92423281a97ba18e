"""The card of a model that leaves its run: what it is, what was measured, how it is opened."""

from __future__ import annotations

from typing import Any

import yaml

from chainlift.report.names import STAGE_TITLES
from chainlift.report.summary_markdown import summary_markdown
from chainlift.tasks.base import Task

PAPER = "Tsilivis et al., arXiv 2510.11495"


def card(name: str, checkpoint: str, recipe: dict[str, Any], summary: dict[str, Any] | None, task: Task | None) -> str:
    """README.md, with the head that the hub reads.

    checkpoint: `<stage>-<step>`; recipe: its keys and values, empty if not known; summary: of the finished run, if it
    is; task: of a small engine's model, None for a language model.
    """
    head: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    head["tags"] = ["chainlift", "chain-of-thought"]
    base = (recipe.get("model") or {}).get("path")
    if base is not None and not str(base).startswith((".", "/", "~", "package:")):
        head["base_model"] = base
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {name}",
        _origin(checkpoint, recipe, base),
        *([] if task is None else [_task(task)]),
        *([] if summary is None else [_measured(summary, checkpoint)]),
        _use(task, recipe.get("name", "RECIPE")),
        f"Made for the question: what does reinforcement learning add after next-token prediction? ({PAPER})",
    ]
    return "\n\n".join(parts) + "\n"


def _origin(checkpoint: str, recipe: dict[str, Any], base: str | None) -> str:
    """Where the model is from."""
    stage, _, step = checkpoint.partition("-")
    named = STAGE_TITLES.get(stage, "training elsewhere")
    origin = f"Trained by chainlift: {named}" + (f", {step} updates." if step.isdigit() else ".")
    if recipe:
        origin += f" Recipe `{recipe['name']}` ({recipe['title']}), seed {recipe['seed']}, "
        origin += f"p_cot {recipe['mixture']['p_cot']:g}."
    if base is not None:
        origin += f" It began as `{base}`, whose licence holds."
    if recipe.get("data"):
        origin += f" Data: `{recipe['data']['name']}`."
    return origin


def _task(task: Task) -> str:
    """What a small engine's model reads and writes."""
    settings = ", ".join(f"{key} {value}" for key, value in task.settings.model_dump(exclude_defaults=True).items())
    return (
        f"Task: `{getattr(task.settings, 'name', 'custom')}`{f' ({settings})' if settings else ''}. A prompt is "
        f"{task.prompt_length} tokens of `{' '.join(task.vocabulary.tokens)}`; an answer has {task.short_length} "
        f"(short) to {task.long_length} (long), then `{task.vocabulary.tokens[-1]}`. It knows nothing else."
    )


def _measured(summary: dict[str, Any], checkpoint: str) -> str:
    """A table of what the run measured after its stages."""
    intervals = (
        f"Measured on {summary['pretrain']['prompts']:,} fresh prompts of one seed, with 95 % intervals over prompts:"
    )
    return f"{intervals}\n\n{summary_markdown(summary, checkpoint.partition('-')[0]).strip()}"


def _use(task: Task | None, recipe: str) -> str:
    """How it is opened."""
    command = "chainlift evaluate ." if task is not None else f"chainlift llm evaluate . --recipe {recipe}"
    return f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
```

`{command}` measures it, also after transformers or TRL have trained it further."""
