"""Read a model's weights from untrusted safetensors files.

Names, shapes and types of the tensors are read from the files' headers and compared with the model's, so that no more
memory is allocated than the model needs. Then the tensors are read; they must be finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from chainlift import reading
from chainlift.visible import one_line, shown

WEIGHTS = "model.safetensors"
LONGEST_NAME = 255  # bytes
INDEX = "model.safetensors.index.json"
TYPES = ("F64", "F32", "F16", "BF16")


def files(folder: Path) -> list[Path]:
    """The files with the folder's weights: one file, or the shards in its index, which must be in the same folder.

    One-line ValueError if a file is missing or not an ordinary file, or if the index is damaged.
    """
    index = folder / INDEX
    if not index.is_file():
        if not (folder / WEIGHTS).is_file():
            raise ValueError(f"{folder / WEIGHTS} is missing: {folder} is not a chainlift checkpoint")
        return [folder / WEIGHTS]
    shards = reading.json_mapping(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise ValueError(f"{index} is damaged: weight_map must give a file for each weight")
    paths = []
    for name in sorted(set(shards.values())):
        is_plain = Path(name).name == name and name.isprintable() and len(name.encode()) <= LONGEST_NAME
        if not is_plain or "\\" in name or not name.endswith(".safetensors"):
            raise ValueError(f"{index} is damaged: {shown(name)} is not a .safetensors file in the same folder")
        if not (folder / name).is_file():
            raise ValueError(f"{index} is damaged: {shown(name)} is missing, or not an ordinary file")
        paths.append(folder / name)
    return paths


def count(paths: list[Path]) -> int:
    """The number of elements of all tensors in safetensors files; ValueError names a damaged file."""
    total = 0
    for file in paths:
        with ExitStack() as stack:
            handle = _open(file, stack)
            total += sum(_num_elements(handle.get_slice(name).get_shape()) for name in handle.keys())  # noqa: SIM118
    return total


def read(
    paths: list[Path], expected: Mapping[str, torch.Size], dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """The tensors with the expected names and shapes, in `dtype`; ValueError names the file and the tensor."""
    tensors: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for file in paths:
            handle = _open(file, stack)
            for name in expected.keys() & set(handle.keys()):
                _check(file, name, handle.get_slice(name), expected[name])
                try:
                    tensors[name] = handle.get_tensor(name).to(dtype)
                except (SafetensorError, RuntimeError) as error:
                    raise ValueError(f"{file} is damaged: {_message(error)}") from error
                if not bool(tensors[name].isfinite().all()):
                    raise ValueError(f"{file} is damaged: {name} has entries that are not finite numbers")
    missing = next((name for name in expected if name not in tensors), None)
    if missing is not None:
        raise ValueError(f"{paths[0]} is damaged: it lacks {missing}")
    return tensors


def _open(file: Path, stack: ExitStack) -> Any:
    """Open a safetensors file, whose header (size, offsets, shapes) the library checks."""
    try:
        return stack.enter_context(safe_open(file, framework="pt"))
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{file} is damaged: {_message(error)}") from error


def _check(file: Path, name: str, header: Any, shape: torch.Size) -> None:
    if header.get_dtype() not in TYPES:
        raise ValueError(f"{file} is damaged: {name} holds {header.get_dtype()}; allowed: {', '.join(TYPES)}")
    if tuple(header.get_shape()) != tuple(shape):
        raise ValueError(
            f"{file} is damaged: {name} has the shape {tuple(header.get_shape())}, its config.json says {tuple(shape)}"
        )


def _num_elements(shape: list[int]) -> int:
    return math.prod(shape)


def _message(error: Exception) -> str:
    return one_line(str(error)) or type(error).__name__
