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
        raise ValueError(f"model.path: {path}: {f'{key}: ' if key else ''}{one_line(first['msg'])}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"model.path: {path}: {one_line(str(error))}") from error


def load_pretrained(settings: LlamaSettings, model: Model) -> None:
    """Fill a model of the settings that `resolved` gives with the weights of `path`; a ValueError names model.path."""
    path = settings.path
    assert path is not None
    source, gguf_file = _locate(settings)
    try:
        if gguf_file is not None:
            weights = _gguf_weights(path, gguf_file)
        else:
            checksums.check(Path(source))
            dtype = next(model.parameters()).dtype
            shapes = {name: value.shape for name, value in model.to_hub().items()}
            weights = weight_files.read(weight_files.files(Path(source)), shapes, dtype)
    except ValueError as error:
        raise ValueError(f"model.path: {one_line(str(error))}") from error
    model.load_state_dict(model.from_hub(weights))


def _locate(settings: LlamaSettings) -> tuple[str, str | None]:
    """(folder, GGUF file in it or None); a hub name's folder is in the local cache, where it is downloaded to."""
    path = settings.path
    assert path is not None
    source, gguf_file = loading.locate(path, settings.gguf_file)
    if Path(source).is_dir():
        return source, gguf_file
    from huggingface_hub import snapshot_download

    try:
        allowed = FILES if gguf_file is None else [*FILES, gguf_file]
        return snapshot_download(path, local_files_only=not settings.download, allow_patterns=allowed), gguf_file
    except (OSError, ValueError) as error:
        raise ValueError(loading.failure(path, error, download=settings.download)) from error


@functools.lru_cache(maxsize=1)
def _gguf_config(path: str, gguf_file: str) -> dict[str, Any]:
    """The configuration of a GGUF file, read by transformers; it does not count that the weights are quantized."""
    loading.require_llm_extra()
    config = loading.configuration(PretrainedSettings(path=path, gguf_file=gguf_file)).to_dict()
    return {**config, "quantization_config": None}


@functools.lru_cache(maxsize=1)  # reading SmolLM2 takes 15 s
def _gguf_weights(path: str, gguf_file: str) -> dict[str, Tensor]:
    """The weights of a GGUF file in float32, read by transformers."""
    loading.require_llm_extra()
    return loading.open_model(path, gguf_file).state_dict()
