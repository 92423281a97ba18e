"""Tensors into a safetensors file, with a disk's refusal told as what it is."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def write(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the tensors; OSError with its number where the disk is full or refuses (safetensors has its own error)."""
    try:
        save_file(tensors, file, metadata=metadata)
    except SafetensorError as error:
        told = re.search(r"os error (\d+)", str(error))
        number = int(told[1]) if told else errno.EIO
        raise OSError(number, os.strerror(number), str(file)) from error
