"""Write and read safetensors files; a full disk raises an OSError with its errno, a NaN counts as damage."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor


def write(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors to a file; OSError with errno if the disk is full or fails (safetensors raises another error)."""
    file.touch()
    mode = file.stat().st_mode  # by the umask; safetensors creates files that only their owner can read
    try:
        save_file(tensors, file, metadata=metadata)
    except SafetensorError as error:
        message = re.search(r"os error (\d+)", str(error))
        number = int(message[1]) if message else errno.EIO
        raise OSError(number, os.strerror(number), str(file)) from error
    file.chmod(mode)


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU; ValueError if one holds a NaN or an infinity."""
    tensors = load_file(file)
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{name} holds values that are not finite numbers")
    return tensors
