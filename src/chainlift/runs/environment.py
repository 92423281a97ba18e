"""The environment of a run: versions, device, threads and commit, for its record and for bug reports."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import chainlift
from chainlift import distributed
from chainlift.launcher import cores

PACKAGES = ("torch", "numpy", "pydantic", "safetensors", "transformers", "trl")


def describe(device: str | None = None) -> dict[str, Any]:
    """Versions, machine, device, threads and, in a git checkout, the commit and whether files differ from it."""
    commit, changed = _commit(Path(chainlift.__file__).parent)
    return {
        "chainlift": chainlift.__version__,
        "commit": commit,
        "uncommitted_changes": changed,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "host": platform.node(),
        "cpus": cores(),
        "device": device or pick_device("auto"),
        "threads": torch.get_num_threads(),
        "processes": distributed.world_size(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def pick_device(name: str) -> str:
    """Resolve a device name; `auto` is cuda if available, otherwise cpu. ValueError if the device is not available.

    `auto` never picks Apple's GPU (mps), which nobody has measured yet.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return "cuda" if available["cuda"] else "cpu"
    if not available[name]:
        raise ValueError(
            f"device: {name} is not available here; available: {', '.join(d for d in available if available[d])}"
        )
    return name


def device_note(name: str) -> str | None:
    """One line for the user if `auto` leaves an available Apple GPU unused, otherwise None."""
    if name != "auto" or pick_device("auto") != "cpu" or not torch.backends.mps.is_available():
        return None
    return "device: the CPU; Apple's GPU is available but not measured yet; device=mps uses it"


def local_device(name: str) -> str:
    """`pick_device`; of several GPUs and launched processes, the GPU of this local rank."""
    device = pick_device(name)
    if device != "cuda" or distributed.launched_world_size() == 1:
        return device
    index, num_gpus = distributed.local_rank(), torch.cuda.device_count()
    if index >= num_gpus:
        raise ValueError(
            f"device: {distributed.local_world_size()} processes on this machine, which has {num_gpus} GPUs"
        )
    torch.cuda.set_device(index)
    return f"cuda:{index}"


def check_compiler(device: torch.device) -> None:
    """Raise a ValueError unless torch.compile works on the device; it needs a C++ compiler, or Triton on a GPU.

    Compiles a small function, because only PyTorch knows which compiler it uses.
    """
    try:
        torch.compile(torch.exp)(torch.ones(8, device=device))
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"compile: torch.compile does not work here ({reason}); install a C++ compiler (g++), or leave compile out"
        ) from error


def use_threads(threads: int | None) -> None:
    """Set PyTorch's number of threads; None: its default or, for several local ranks, an equal share of the cores."""
    if threads is None and distributed.local_world_size() > 1:
        threads = max(cores() // distributed.local_world_size(), 1)
    if threads is not None:
        torch.set_num_threads(threads)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The name of the processor, as far as the system reports it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit(folder: Path) -> tuple[str | None, bool | None]:
    """(commit, whether files differ from it) of chainlift's git checkout; (None, None) for an installed package."""

    def git(*arguments: str) -> str | None:
        try:
            process = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=5,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return process.stdout.strip()

    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    status = git("status", "--porcelain")
    return git("rev-parse", "HEAD"), None if status is None else bool(status)
