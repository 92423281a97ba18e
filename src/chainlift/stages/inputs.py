"""Checksums of what a run reads from outside: data files, a pretrained model, a checkpoint that a stage starts from.

They belong to what decides a stage's weights (Recipe.stage_identity). So a stage that was trained on other content is
neither taken over nor continued, even if the files have the same names.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from chainlift.models import checksums
from chainlift.models.pretrained import loading
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.transformer.llama_settings import LlamaSettings
from chainlift.settings import Settings
from chainlift.text.task import is_text

WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
BESIDE_WEIGHTS = ("config.json", "tokenizer.json", "tokenizer_config.json")
"""Files of a folder that, like its weights, decide what its model computes."""


def data_digest(task: Settings) -> str | None:
    """The digest of a task's data files; None for a task without, and where one is missing."""
    files = task.data_files if is_text(task) else []
    return _digest(files) if files and all(file.is_file() for file in files) else None


def model_digest(model: Settings) -> str | None:
    """The digest of the files of `model.path`; None without a path, for a hub name, and where they are missing."""
    if not isinstance(model, LlamaSettings | PretrainedSettings) or model.path is None:
        return None
    try:
        source, gguf_file = loading.locate(model.path, model.gguf_file)
    except ValueError:  # opening the model says so
        return None
    folder = Path(source)
    if gguf_file is not None:
        return _digest([folder / gguf_file]) if (folder / gguf_file).is_file() else None
    return _digest(_model_files(folder)) if folder.is_dir() else None


def are_missing(task: Settings, model: Settings) -> bool:
    """Whether data files, or the model of `model.path`, are not where the recipe says."""
    if is_text(task) and not all(file.is_file() for file in task.data_files):
        return True
    if not isinstance(model, LlamaSettings | PretrainedSettings) or model.path is None:
        return False
    try:
        loading.locate(model.path, model.gguf_file)
    except ValueError:
        return True
    return False


def start_digest(folder: str, key: str) -> str:
    """The digest of a checkpoint that a stage starts from; ValueError that names the key if weights are missing."""
    files = _model_files(Path(folder))
    if not any(file.suffix == ".safetensors" for file in files):
        raise ValueError(f"{key}: {folder} is no checkpoint: it has no model.safetensors")
    return _digest(files)


def _model_files(folder: Path) -> list[Path]:
    weights = [file for pattern in WEIGHTS for file in sorted(folder.glob(pattern))]
    return weights + [file for name in BESIDE_WEIGHTS if (file := folder / name).is_file()]


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256("".join(_checksum(file) for file in files).encode()).hexdigest()


def _checksum(file: Path) -> str:
    """The SHA-256 of a file, which is read again only if it has been written since."""
    status = file.stat()
    return _read(file, status.st_mtime_ns, status.st_size, status.st_ino)


@functools.cache
def _read(file: Path, *status: int) -> str:
    return checksums.sha256(file)
