"""A model as a folder, and back again; a transformer's is one that AutoModelForCausalLM and AutoTokenizer open.

model.safetensors holds the weights under the names that the family gives them (transformers' own for a transformer).
config.json holds the family's fields and, under the key `chainlift`, the settings of model and task from which `load`
builds our own. transformers keeps that key, so a folder that it, TRL or peft has saved after training comes back too,
in shards and in bfloat16 as well. A family that transformers has no class for keeps our names and our settings only.
Nothing here imports transformers.

A folder may be anyone's: what it says is checked before memory is taken, and no code that it names is imported unless
the user trusts it (references.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from chainlift import reading
from chainlift.models import checksums, families, tensors
from chainlift.models.hub import weight_files
from chainlift.models.hub.weight_files import WEIGHTS
from chainlift.models.model import Model
from chainlift.models.shapes import shapes_only
from chainlift.reading import StrPath
from chainlift.references import Trust
from chainlift.settings import Settings
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import Task
from chainlift.visible import one_line

ADAPTERS = "adapter_config.json"


def save(model: Model, task: Task, folder: StrPath) -> None:
    """Write weights, configuration and what else the family writes of the model and its task into a folder."""
    folder = Path(folder)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.to_hub().items()}
    tensors.write(weights, folder / WEIGHTS, metadata={"format": "pt"})
    for name, content in _files(model, task).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(folder: StrPath, *, trust: bool = False, typed: Iterable[str] = ()) -> tuple[Model, Task]:
    """The model, on the CPU in float32, and the task of a folder written by `save`, or by transformers from such a one.

    trust: import the code that the folder names, if it does (`package.module:name`); typed: references that the user
    has named already, which are followed in any case. ValueError names the file that is missing or damaged, or that
    code.
    """
    folder = Path(folder)
    file = folder / "config.json"
    _check_is_there(folder)
    checksums.check(folder)
    own = _own(file)
    paths = weight_files.files(folder)
    trusted = Trust(file, frozenset(typed), trust)
    task = _task(file, own.get("task"), trusted)
    settings, context = _model_settings(file, own, trusted), own.get("context")
    needed = task.prompt_length + task.long_length + 1
    if type(context) is not int or context < needed:
        raise ValueError(f"{file} is damaged: context is {context!r}, and the task needs {needed}")
    try:
        families.check(settings, task)
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    state = _state(paths, file, settings, task.vocabulary.size, context)
    model = families.of_size(settings, task.vocabulary.size, context)
    model.load_state_dict(state)
    return model, task


def read_weights(folder: StrPath, model: Model) -> dict[str, Tensor]:
    """The state of a model that is known already, from a folder that holds it: no code that it names is imported.

    ValueError names the file that is missing, damaged or of another model.
    """
    folder = Path(folder)
    checksums.check(folder)
    own = _own(folder / "config.json")
    if (own.get("model"), own.get("context")) != (model.settings.model_dump(mode="json"), model.context):
        raise ValueError(f"{folder / 'config.json'} is damaged, or of another model")
    size = model.vocabulary_size, model.context
    return _state(weight_files.files(folder), folder / "config.json", model.settings, *size)


def _check_is_there(folder: Path) -> None:
    if (folder / ADAPTERS).is_file() and not any((folder / name).is_file() for name in (WEIGHTS, weight_files.INDEX)):
        raise ValueError(f"{folder} holds adapters only: merge them by peft's merge_and_unload(), and save")
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder / 'config.json'} is missing: {folder} is not a chainlift checkpoint")


def _own(file: Path) -> dict[str, Any]:
    """What config.json holds of ours."""
    own = reading.json_mapping(file).get("chainlift")
    if not isinstance(own, dict):
        raise ValueError(f"{file} is damaged or was not written by chainlift: it has no key chainlift")
    return own


def _task(file: Path, content: Any, trust: Trust) -> Task:
    """The task that config.json describes; ValueError with the cause."""
    if not isinstance(content, dict):
        raise ValueError(f"{file} is damaged: task must hold keys and values")
    try:
        kind = tasks.settings_class(content.get("name", ""), trust)
        return tasks.build(kind.model_validate(content, context=trust))
    except ValidationError as error:
        raise ValueError(f"{file}, task: {_complaint(error)}") from error
    except (ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{file}, task: {one_line(str(error))}") from error


def _model_settings(file: Path, own: dict[str, Any], trust: Trust) -> Settings:
    content = own.get("model")
    if not isinstance(content, dict):
        raise ValueError(f"{file} is damaged: model must hold keys and values")
    try:
        return families.settings_class(content, trust).model_validate(content, context=trust)
    except ValidationError as error:
        raise ValueError(f"{file}, model: {_complaint(error)}") from error
    except ValueError as error:
        raise ValueError(f"{file}, model: {error}") from error


def _state(paths: list[Path], file: Path, settings: Settings, vocabulary_size: int, context: int) -> dict[str, Tensor]:
    """A model's state from files, whose heads are compared with its sizes before anything of that size is made."""
    elements = weight_files.count(paths)
    try:
        if families.fewest_parameters(settings, context) > elements:
            raise ValueError("it is larger than its weights")
        with shapes_only():
            model = families.of_size(settings, vocabulary_size, context)
    except (ValueError, RuntimeError, OverflowError, TypeError) as error:
        told = one_line(str(error), longest=200)
        raise ValueError(f"{file} is damaged: there is no such model in {paths[0].name}: {told}") from error
    return model.from_hub(weight_files.read(paths, {name: value.shape for name, value in model.to_hub().items()}))


def _files(model: Model, task: Task) -> dict[str, dict[str, Any]]:
    """{name: content} of the JSON files of a folder."""
    own = {
        "model": model.settings.model_dump(mode="json"),
        "task": task.settings.model_dump(mode="json"),
        "context": model.context,
    }
    files = model.hub_files(task)
    return {**files, "config.json": {**files["config.json"], "chainlift": own}}


def _complaint(error: ValidationError) -> str:
    """The first complaint of a validation error, in one line: the key, and what is wrong with it."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    key = ".".join(map(str, first["loc"]))
    told = str(cause) if cause is not None else first["msg"]
    return f"{key}: {told}" if key else told
