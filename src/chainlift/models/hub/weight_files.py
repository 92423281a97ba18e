"""A model's weights in safetensors files that anyone may have written: checked before they are used.

The names, shapes and types of the tensors are read from the files' heads and compared with the model's, so that no more
memory is taken than the model needs; then the tensors are read, and must be numbers.
"""

from __future__ import annotations

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
    """The files that hold the folder's weights: one, or the shards of its index, which must lie in the folder itself.

    ValueError in one line if one is missing or not an ordinary file, or if the index cannot be read as one.
    """
    index = folder / INDEX
    if not index.is_file():
        if not (folder / WEIGHTS).is_file():
            raise ValueError(f"{folder / WEIGHTS} is missing: {folder} is not a chainlift checkpoint")
        return [folder / WEIGHTS]
    shards = reading.json_mapping(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise ValueError(f"{index} is damaged: weight_map must give a file for each weight")
    found = []
    for name in sorted(set(shards.values())):
        is_plain = Path(name).name == name and name.isprintable() and len(name.encode()) <= LONGEST_NAME
        if not is_plain or "\\" in name or not name.endswith(".safetensors"):
            raise ValueError(f"{index} is damaged: {shown(name)} is no name of a .safetensors file in the same folder")
        if not (folder / name).is_file():
            raise ValueError(f"{index} is damaged: {shown(name)} is missing, or no ordinary file")
        found.append(folder / name)
    return found


def count(paths: list[Path]) -> int:
    """The number of elements of all tensors in some safetensors files; ValueError names the one that is damaged."""
    total = 0
    for file in paths:
        with ExitStack() as stack:
            handle = _opened(file, stack)
            total += sum(_size(handle.get_slice(name).get_shape()) for name in handle.keys())  # noqa: SIM118
    return total


def read(paths: list[Path], wanted: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The tensors of these names and shapes, in float32; ValueError names the file, the tensor and what is wrong."""
    found: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for file in paths:
            handle = _opened(file, stack)
            for name in wanted.keys() & set(handle.keys()):
                _check(file, name, handle.get_slice(name), wanted[name])
                try:
                    found[name] = handle.get_tensor(name).to(torch.float32)
                except (SafetensorError, RuntimeError) as error:
                    raise ValueError(f"{file} is damaged: {_line(error)}") from error
                if not bool(found[name].isfinite().all()):
                    raise ValueError(f"{file} is damaged: {name} has entries that are no numbers (NaN or infinity)")
    missing = next((name for name in wanted if name not in found), None)
    if missing is not None:
        raise ValueError(f"{paths[0]} is damaged: it lacks {missing}")
    return found


def _opened(file: Path, stack: ExitStack) -> Any:
    """The head of a safetensors file, which the library has checked: its size, offsets and shapes."""
    try:
        return stack.enter_context(safe_open(file, framework="pt"))
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{file} is damaged: {_line(error)}") from error


def _check(file: Path, name: str, head: Any, shape: torch.Size) -> None:
    if head.get_dtype() not in TYPES:
        raise ValueError(f"{file} is damaged: {name} holds {head.get_dtype()}; allowed: {', '.join(TYPES)}")
    if tuple(head.get_shape()) != tuple(shape):
        raise ValueError(
            f"{file} is damaged: {name} has the shape {tuple(head.get_shape())}, its config.json says {tuple(shape)}"
        )


def _size(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _line(error: Exception) -> str:
    return one_line(str(error)) or type(error).__name__
