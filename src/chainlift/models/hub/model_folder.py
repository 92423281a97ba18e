"""Save a model to a folder and load it; AutoModelForCausalLM and AutoTokenizer open a transformer's folder.

model.safetensors holds the weights under the family's names (for a transformer, those of the library transformers).
config.json holds the family's fields and, under the key `chainlift`, the settings of model and task, from which `load`
builds chainlift's model. transformers keeps that key, so `load` also reads folders that transformers, TRL or peft
saved after training, in shards and in bfloat16. A family without a class in transformers has chainlift's names and
settings only. This module does not import transformers.

A folder is untrusted: its content is checked before memory is allocated, and code that it names is imported only if the
user trusts it (references.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from chainlift import reading
from chainlift.models import checksums, families, tensors
from chainlift.models.hub import weight_files
from chainlift.models.hub.weight_files import WEIGHTS
from chainlift.models.model import Model
from chainlift.models.pretrained import loading
from chainlift.models.shapes import shapes_only
from chainlift.reading import StrPath
from chainlift.references import Trust
from chainlift.settings import Settings
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import Task
from chainlift.tasks.lengths import longest_sequence
from chainlift.text.task import TextTask
from chainlift.text.tokenized import TokenizedTask
from chainlift.visible import one_line

ADAPTERS = "adapter_config.json"


def save(model: Model, task: Task, folder: StrPath) -> None:
    """Write weights, configuration and the family's other files for the model and its task into a folder."""
    folder = Path(folder)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.to_hub().items()}
    tensors.write(weights, folder / WEIGHTS, metadata={"format": "pt"})
    if (text_tokenizer := getattr(task, "tokenizer", None)) is not None:
        text_tokenizer.save_pretrained(folder)
    for name, content in _files(model, task).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(folder: StrPath, *, trust: bool = False, typed: Iterable[str] = ()) -> tuple[Model, Task]:
    """Load (model, task) from a folder written by `save`, or by transformers from such a folder.

    The model is on the CPU. trust: import code that the folder names (`package.module:name`); typed:
    references that the user has typed, which are imported in any case. ValueError names a missing or damaged file, or
    code that is not trusted.
    """
    folder = Path(folder)
    file = folder / "config.json"
    _check_exists(folder)
    checksums.check(folder)
    section = _chainlift_section(file)
    paths = weight_files.files(folder)
    trusted = Trust(file, frozenset(typed), trust)
    task = _task(file, section.get("task"), trusted)
    settings, context = _model_settings(file, section, trusted), section.get("context")
    min_context = longest_sequence(task)
    if type(context) is not int:
        raise ValueError(f"{file} is damaged: context is {context!r}")
    context = max(context, getattr(settings, "context", 0))  # rotary positions go on beyond what training needed
    if context < min_context:
        raise ValueError(
            f"{file}: the model reads {context} tokens, and the task's longest prompt and response are {min_context}; "
            "the task's data have changed since, or the file is damaged"
        )
    try:
        families.check(settings, task)
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    state = _state(paths, file, settings, task.vocabulary.size, context)
    model = families.of_size(settings, task.vocabulary.size, context)
    model.padding = families.masked_padding(task)
    model.load_state_dict(state)
    return model, task


def bound(task: TextTask, file: Path) -> Task:
    """A task of text in the tokens of the model that a config.json describes; ValueError in one line."""
    loading.require_transformers()
    size = reading.json_mapping(file).get("vocab_size")
    if type(size) is not int:
        raise ValueError(f"{file} is damaged: vocab_size is {size!r}")
    return TokenizedTask(task, loading.open_tokenizer(str(file.parent)), size)


def check_tokens(folder: StrPath, task: Task) -> None:
    """ValueError if a folder's tokenizer gives the tokens of a task of text other ids; nothing if it has no tokenizer.

    A tokenizer from scratch depends on the task's problems, and weights mean nothing under the ids of another one.
    """
    if not isinstance(task, TokenizedTask) or not (Path(folder) / "tokenizer.json").is_file():
        return
    theirs, ours = loading.open_tokenizer(str(folder)).get_vocab(), task.tokenizer.get_vocab()
    others = sum(theirs.get(token) != number for token, number in ours.items())
    if others:
        raise ValueError(
            f"{folder} has another tokenizer, in which {others} of this task's {len(ours)} tokens have another number; "
            f"model.path={folder} begins with its weights and its tokenizer"
        )


def read_weights(folder: StrPath, model: Model) -> dict[str, Tensor]:
    """The state dict of a known model from its folder, without importing code that the folder names.

    ValueError names a file that is missing, damaged or of another model.
    """
    folder = Path(folder)
    checksums.check(folder)
    _check_exists(folder)
    if not model.fits(reading.json_mapping(folder / "config.json")):
        raise ValueError(f"{folder / 'config.json'} is damaged, or of another model")
    paths = weight_files.files(folder)
    return _state(paths, folder / "config.json", model.settings, model.vocabulary_size, model.context)


def _check_exists(folder: Path) -> None:
    if (folder / ADAPTERS).is_file() and not any((folder / name).is_file() for name in (WEIGHTS, weight_files.INDEX)):
        raise ValueError(f"{folder} holds adapters only: merge them with peft's merge_and_unload(), and save")
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder / 'config.json'} is missing: {folder} is not a chainlift checkpoint")


def _chainlift_section(file: Path) -> dict[str, Any]:
    """The section `chainlift` of a config.json; ValueError if there is none."""
    section = reading.json_mapping(file).get("chainlift")
    if not isinstance(section, dict):
        raise ValueError(f"{file} is damaged or was not written by chainlift: it has no key chainlift")
    return section


def _task(file: Path, content: Any, trust: Trust) -> Task:
    """Build the task that a config.json describes; ValueError with the cause."""
    if not isinstance(content, dict):
        raise ValueError(f"{file} is damaged: task must hold keys and values")
    try:
        kind = tasks.settings_class(content.get("name", ""), trust)
        task = tasks.make(kind.model_validate(content, context=trust))
        return bound(task, file) if isinstance(task, TextTask) else task
    except ValidationError as error:
        raise ValueError(f"{file}, task: {_complaint(error)}") from error
    except (ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{file}, task: {one_line(str(error))}") from error


def _model_settings(file: Path, section: dict[str, Any], trust: Trust) -> Settings:
    content = section.get("model")
    if not isinstance(content, dict):
        raise ValueError(f"{file} is damaged: model must hold keys and values")
    try:
        settings = families.settings_class(content, trust).model_validate(content, context=trust)
    except ValidationError as error:
        raise ValueError(f"{file}, model: {_complaint(error)}") from error
    except ValueError as error:
        raise ValueError(f"{file}, model: {error}") from error
    if (path := getattr(settings, "path", None)) is not None:  # it might be downloaded, or import a package
        raise ValueError(f"{file} is damaged: model.path is {path!r}, and a checkpoint has its own weights")
    return settings


def _state(paths: list[Path], file: Path, settings: Settings, vocabulary_size: int, context: int) -> dict[str, Tensor]:
    """A model's state dict from files, whose headers are compared with its sizes before memory is allocated."""
    elements = weight_files.count(paths)
    try:
        if families.fewest_parameters(settings, context) > elements:
            raise ValueError("it is larger than its weights")
        with shapes_only():
            model = families.of_size(settings, vocabulary_size, context)
    except (ValueError, RuntimeError, OverflowError, TypeError) as error:
        message = one_line(str(error), longest=200)
        raise ValueError(f"{file} is damaged: it does not describe the model in {paths[0].name}: {message}") from error
    hub_weights = model.to_hub()
    dtype = next(iter(hub_weights.values())).dtype if hub_weights else torch.float32
    return model.from_hub(weight_files.read(paths, {name: value.shape for name, value in hub_weights.items()}, dtype))


def _files(model: Model, task: Task) -> dict[str, dict[str, Any]]:
    """{name: content} of a folder's JSON files."""
    section = {
        "model": model.settings.model_dump(mode="json"),
        "task": task.settings.model_dump(mode="json"),
        "context": model.context,
    }
    files = model.hub_files(task)
    return {**files, "config.json": {**files["config.json"], "chainlift": section}}


def _complaint(error: ValidationError) -> str:
    """The first problem of a validation error, in one line: the key, and what is wrong with it."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    key = ".".join(map(str, first["loc"]))
    message = str(cause) if cause is not None else first["msg"]
    return f"{key}: {message}" if key else message
