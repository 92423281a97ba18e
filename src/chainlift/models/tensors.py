"""Tensors into a safetensors file and back: a disk's refusal is reported as one, and a NaN as damage."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor


def write(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the tensors; OSError with its number where the disk is full or refuses (safetensors has its own error)."""
    file.touch()
    mode = file.stat().st_mode  # as the umask has it, while safetensors makes files that only their owner can read
    try:
        save_file(tensors, file, metadata=metadata)
    except SafetensorError as error:
        message = re.search(r"os error (\d+)", str(error))
        number = int(message[1]) if message else errno.EIO
        raise OSError(number, os.strerror(number), str(file)) from error
    file.chmod(mode)


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU; ValueError if one holds a NaN or an infinity, as no training leaves."""
    tensors = load_file(file)
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{name} holds values that are not finite numbers")
    return tensors
