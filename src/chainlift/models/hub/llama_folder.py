"""Sizes and weights of a trained Llama: from a folder in safetensors, without transformers, or from a GGUF file."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from chainlift import reading
from chainlift.models import checksums
from chainlift.models.hub import llama_config, weight_files
from chainlift.models.model import Model
from chainlift.models.pretrained import loading
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.visible import one_line

FILES = ["*.json", "*.safetensors", "*.jinja", "*.model"]  # of a hub name: never code, never a pickle


def resolved(settings: LlamaSettings) -> LlamaSettings:
    """The settings with the sizes of the model in `path`, and path null; a one-line ValueError names model.path.

    Settings without a path are returned as they are.
    """
    path = settings.path
    if path is None:
        return settings
    source, gguf_file = _locate(settings)
    try:
        config = (
            reading.json_mapping(Path(source) / "config.json") if gguf_file is None else _gguf_config(path, gguf_file)
        )
        sizes = llama_config.sizes(config)
        stored = settings.model_dump(include={"weights", "lora", "recompute"})
        return LlamaSettings.model_validate({**sizes, **stored})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        message = one_line(first["msg"].removeprefix("Value error, "))
        raise ValueError(f"model.path: {path}: {f'{key}: ' if key else ''}{message}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"model.path: {path}: {one_line(str(error))}") from error


def load_pretrained(settings: LlamaSettings, model: Model) -> None:
    """Fill a model of the settings that `resolved` gives with the weights of `path`; a ValueError names model.path."""
    path = settings.path
    assert path is not None
    source, gguf_file = _locate(settings)
    weights = _folder_weights(Path(source), model) if gguf_file is None else _gguf_weights(path, gguf_file)
    model.load_state_dict(model.from_hub(weights))


def _folder_weights(folder: Path, model: Model) -> dict[str, Tensor]:
    """The weights of a folder, in the type of the model's, from files that hold nothing but numbers."""
    shapes = {name: value.shape for name, value in model.to_hub().items()}
    try:
        if not any((folder / name).is_file() for name in (weight_files.WEIGHTS, weight_files.INDEX)):
            raise ValueError(f"{folder} has no weights in safetensors")
        checksums.check(folder)
        return weight_files.read(weight_files.files(folder), shapes, next(model.parameters()).dtype)
    except ValueError as error:
        raise ValueError(f"model.path: {one_line(str(error))}") from error


def _locate(settings: LlamaSettings) -> tuple[str, str | None]:
    """(folder, GGUF file in it or None); a hub name's folder is in the local cache, where it is downloaded to."""
    assert settings.path is not None
    source, gguf_file = loading.locate(settings.path, settings.gguf_file)
    is_folder = Path(source).is_dir()
    return source if is_folder else _hub_folder(source, gguf_file, download=settings.download), gguf_file


@functools.lru_cache(maxsize=8)  # the hub is asked once
def _hub_folder(name: str, gguf_file: str | None, *, download: bool) -> str:
    from huggingface_hub import snapshot_download

    patterns = [*FILES, *([gguf_file] if gguf_file else [])]
    try:
        return snapshot_download(name, local_files_only=not download, allow_patterns=patterns)
    except (OSError, ValueError) as error:
        raise ValueError(loading.failure(name, error, download=download)) from error


@functools.lru_cache(maxsize=1)
def _gguf_config(path: str, gguf_file: str) -> dict[str, Any]:
    """The configuration of a GGUF file, read by transformers; it does not count that the weights are quantized."""
    loading.require_transformers()
    config = loading.configuration(PretrainedSettings(path=path, gguf_file=gguf_file)).to_dict()
    return {**config, "quantization_config": None}


@functools.lru_cache(maxsize=1)  # reading SmolLM2 takes 15 s
def _gguf_weights(path: str, gguf_file: str) -> dict[str, Tensor]:
    """The weights of a GGUF file in float32, read by transformers."""
    loading.require_transformers()
    return loading.open_model(path, gguf_file).state_dict()
