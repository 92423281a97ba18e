"""The card of an exported model: its origin, its measurements, and code that opens it.

A run folder may come from anyone, so each text of its recipe stays on one line, and none enters a command.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from chainlift.references import is_reference, texts
from chainlift.report.documents.summary_markdown import summary_markdown
from chainlift.report.prompt_words import prompt_words
from chainlift.runs import stage_views
from chainlift.seeding import stream
from chainlift.tasks.base import Task, held_out
from chainlift.text.tokenized import TokenizedTask
from chainlift.visible import one_line

PAPER = "Tsilivis et al., arXiv 2510.11495"


def card(name: str, checkpoint: str, recipe: dict[str, Any], summary: dict[str, Any] | None, task: Task | None) -> str:
    """The text of README.md, with the YAML header of the hub; ValueError in one line if recipe or summary are damaged.

    checkpoint: `<stage>-<step>`. recipe: its keys and values, empty if unknown. summary: that of the run; None if the
    run is not finished. task: that of a model of our own engine; None for one by TRL, whose folder does not name it.
    """
    symbols = None if isinstance(task, TokenizedTask) else task
    try:
        header, parts = _header(recipe), [_origin(checkpoint, recipe), *([] if symbols is None else [_task(symbols)])]
        parts += [] if summary is None else [_measurements(summary, checkpoint)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # valid syntax with other content
        reason = one_line(f"{type(error).__name__}: {error}")
        raise ValueError(f"the run's recipe.yaml or summary.json is damaged ({reason})") from error
    purpose = "Made for the question: what does reinforcement learning add after next-token prediction?"
    use = _use_of_language_model(recipe, knows_task=task is not None) if symbols is None else _use(symbols)
    return "\n\n".join([f"---\n{header}---", f"# {name}", *parts, use, f"{purpose} ({PAPER})"]) + "\n"


def _header(recipe: dict[str, Any]) -> str:
    """The YAML header that the hub reads."""
    header: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    header["tags"] = ["chainlift", "chain-of-thought"]
    base = _base_model(recipe)
    if base is not None and not base.startswith((".", "/", "~", "package:")):
        header["base_model"] = base
    return yaml.safe_dump(header, sort_keys=False)


def _base_model(recipe: dict[str, Any]) -> str | None:
    """The pretrained model that training began with; None without one."""
    base = (recipe.get("model") or {}).get("path")
    return None if base is None else str(base)


def _origin(checkpoint: str, recipe: dict[str, Any]) -> str:
    """A paragraph on the model's training: stage, updates, recipe, base model and problems."""
    stage, _, step = checkpoint.partition("-")
    titles = {view.name: view.title for view in stage_views.of_recipe(recipe)} if recipe else {}
    title = titles.get(stage, "training elsewhere")
    origin = f"Trained by chainlift: {title}" + (f", {step} updates." if step.isdigit() else ".")
    base = _base_model(recipe)
    if recipe:
        title = f" ({_plain(recipe['title'])})" if recipe["title"] else ""
        origin += f" Recipe {_code(recipe['name'])}{title}, seed {int(recipe['seed'])}, "
        origin += f"p_cot {recipe['mixture']['p_cot']}."
    if base is not None:
        origin += f" It began as {_code(base)}, whose license holds."
    if stage_views.is_text(recipe):
        origin += f" Problems: {_code(recipe['task']['name'])}."
    return origin


def _task(task: Task) -> str:
    """A paragraph on the prompts and answers of a small engine's model."""
    settings = ", ".join(f"{key} {value}" for key, value in task.settings.model_dump(exclude_defaults=True).items())
    return (
        f"Task: {_code(getattr(task.settings, 'name', 'custom'))}{f' ({_plain(settings)})' if settings else ''}. A "
        f"prompt is {task.prompt_length} tokens of {_code(' '.join(task.vocabulary.tokens))}; an answer has "
        f"{task.short_length} (short) to {task.long_length} (long), then `{task.vocabulary.tokens[-1]}`. It knows "
        "nothing else."
    )


def _measurements(summary: dict[str, Any], checkpoint: str) -> str:
    """A table of the run's measurements after its stages."""
    prompts = prompt_words(summary, summary[next(iter(summary["stages"]))]["prompts"])
    heading = f"Measured in one run on {prompts}; with 95 % intervals over prompts:"
    return f"{heading}\n\n{summary_markdown(summary, checkpoint.partition('-')[0]).strip()}"


def _use(task: Task) -> str:
    """Code that opens a small engine's model, and the rules of its tokenizer."""
    vocabulary = task.vocabulary
    prompt = held_out(task).prompts(1, stream(0, "card"))[0]
    padding = getattr(task, "padding", None)
    is_padded = padding is not None
    text = vocabulary.plain_text(vocabulary.decode(prompt[prompt != padding] if is_padded else prompt))
    rules = ["Text that is not a token becomes `<eos>`."]
    if is_padded:
        token = _code(vocabulary.tokens[padding])
        rules.insert(0, f"A prompt of less than {task.prompt_length} tokens is padded on the left with {token}.")
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

The tokenizer reads ordinary text as chainlift does. {" ".join(rules)}

{measure}"""


def _use_of_language_model(recipe: dict[str, Any], *, knows_task: bool) -> str:
    """Code that opens a language model, and the command that measures it; knows_task: its folder names its task."""
    name = str(recipe.get("name"))
    safe_name = name if re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) else "RECIPE"
    recipe_option = "" if knows_task else f" --recipe {safe_name}"
    return f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
```

`chainlift evaluate .{recipe_option}` measures it, also after transformers or TRL have trained it further."""


def _plain(text: Any) -> str:
    """A text on one visible line, without the backquotes of Markdown."""
    return one_line(str(text)).replace("`", "'")


def _code(text: Any) -> str:
    """A text on one visible line, as inline code in Markdown, even if it holds backquotes."""
    line = one_line(str(text)) or " "
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence, blank = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{blank}{line}{blank}{fence}"
