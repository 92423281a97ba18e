"""The card of a model that leaves its run: what it is, what was measured, how it is opened.

A run folder may be anyone's: texts of its recipe are put in on one line, and none of them into a command.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from chainlift.references import is_reference, texts
from chainlift.report.documents.summary_markdown import summary_markdown
from chainlift.report.prompt_words import prompt_words
from chainlift.runs import course
from chainlift.seeding import stream
from chainlift.tasks.base import Task, held_out
from chainlift.visible import one_line

PAPER = "Tsilivis et al., arXiv 2510.11495"


def card(name: str, checkpoint: str, recipe: dict[str, Any], summary: dict[str, Any] | None, task: Task | None) -> str:
    """README.md, with the head that the hub reads; ValueError in one line if recipe or summary are damaged.

    checkpoint: `<stage>-<step>`; recipe: its keys and values, empty if not known; summary: of the finished run, if it
    is; task: of a small engine's model, None for a language model.
    """
    try:
        head, parts = _head(recipe), [_origin(checkpoint, recipe), *([] if task is None else [_task(task)])]
        parts += [] if summary is None else [_measured(summary, checkpoint)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # a file of the right syntax and other content
        told = one_line(f"{type(error).__name__}: {error}")
        raise ValueError(f"the run's recipe.yaml or summary.json is damaged ({told})") from error
    about = "Made for the question: what does reinforcement learning add after next-token prediction?"
    use = _use_of_language_model(recipe) if task is None else _use(task)
    return "\n\n".join([f"---\n{head}---", f"# {name}", *parts, use, f"{about} ({PAPER})"]) + "\n"


def _head(recipe: dict[str, Any]) -> str:
    head: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    head["tags"] = ["chainlift", "chain-of-thought"]
    base = _base(recipe)
    if base is not None and not base.startswith((".", "/", "~", "package:")):
        head["base_model"] = base
    return yaml.safe_dump(head, sort_keys=False)


def _base(recipe: dict[str, Any]) -> str | None:
    """The model that training began with, if there was one."""
    base = (recipe.get("model") or {}).get("path")
    return None if base is None else str(base)


def _origin(checkpoint: str, recipe: dict[str, Any]) -> str:
    """Where the model is from."""
    stage, _, step = checkpoint.partition("-")
    titles = {one.name: one.title for one in course.of_recipe(recipe)} if recipe else {}
    named = titles.get(stage, "training elsewhere")
    origin = f"Trained by chainlift: {named}" + (f", {step} updates." if step.isdigit() else ".")
    base = _base(recipe)
    if recipe:
        origin += f" Recipe {_code(recipe['name'])} ({_line(recipe['title'])}), seed {int(recipe['seed'])}, "
        origin += f"p_cot {recipe['mixture']['p_cot']}."
    if base is not None:
        origin += f" It began as {_code(base)}, whose licence holds."
    if course.is_text(recipe):
        origin += f" Problems: {_code(recipe['task']['name'])}."
    return origin


def _task(task: Task) -> str:
    """What a small engine's model reads and writes."""
    settings = ", ".join(f"{key} {value}" for key, value in task.settings.model_dump(exclude_defaults=True).items())
    return (
        f"Task: {_code(getattr(task.settings, 'name', 'custom'))}{f' ({_line(settings)})' if settings else ''}. A "
        f"prompt is {task.prompt_length} tokens of {_code(' '.join(task.vocabulary.tokens))}; an answer has "
        f"{task.short_length} (short) to {task.long_length} (long), then `{task.vocabulary.tokens[-1]}`. It knows "
        "nothing else."
    )


def _measured(summary: dict[str, Any], checkpoint: str) -> str:
    """A table of what the run measured after its stages."""
    prompts = prompt_words(summary, summary[next(iter(summary["stages"]))]["prompts"])
    intervals = f"Measured in one run on {prompts}; with 95 % intervals over prompts:"
    return f"{intervals}\n\n{summary_markdown(summary, checkpoint.partition('-')[0]).strip()}"


def _use(task: Task) -> str:
    """How a small engine's model is opened, and how its tokenizer reads."""
    vocabulary = task.vocabulary
    prompt = held_out(task).prompts(1, stream(0, "card"))[0]
    padding = getattr(task, "padding", None)
    is_filled = padding is not None
    text = vocabulary.plain_text(vocabulary.decode(prompt[prompt != padding] if is_filled else prompt))
    reads = ["What is no token becomes `<eos>`."]
    if is_filled:
        fill = vocabulary.tokens[padding]
        reads.insert(
            0, f"A prompt that is shorter than {task.prompt_length} tokens is filled up on the left with {_code(fill)}."
        )
    code = [name for name in texts(task.settings.model_dump(mode="json")) if is_reference(name)]
    if code:
        measure = f"Its task is code that is not in this folder ({_code(', '.join(code))})."
    else:
        measure = "`chainlift evaluate .` measures it, also after transformers or TRL have trained it further."
    return f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
prompt = tokenizer({text!r}, return_tensors="pt")
output = model.generate(**prompt, max_new_tokens={task.long_length + 1}, do_sample=False)
print(tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
```

The tokenizer reads ordinary text as chainlift does. {" ".join(reads)}

{measure}"""


def _use_of_language_model(recipe: dict[str, Any]) -> str:
    """How a language model is opened."""
    name = str(recipe.get("name"))
    known = name if re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) else "RECIPE"
    return f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
```

`chainlift evaluate . --recipe {known}` measures it, also after transformers or TRL have trained it further."""


def _line(text: Any) -> str:
    """A text on one visible line, without a mark-up's backquotes."""
    return one_line(str(text)).replace("`", "'")


def _code(text: Any) -> str:
    """A text on one visible line, as code in Markdown, whatever is in it."""
    line = one_line(str(text)) or " "
    inside = max(map(len, re.findall("`+", line)), default=0)
    fence, blank = "`" * (inside + 1), " " if inside else ""
    return f"{fence}{blank}{line}{blank}{fence}"
