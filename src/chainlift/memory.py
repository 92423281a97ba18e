"""Memory that this process can still allocate, and the errors that mean out of memory.

Sizes from a recipe or a command line are compared with it before anything is allocated. Otherwise the kernel might kill
the process without a message (it overcommits memory), or PyTorch would fail deep inside.

A container, a Slurm job and a systemd service are Linux control groups (cgroups, version 1 or 2). Each group from the
process's group up to the root may have a limit. Other processes in a group use memory too, so the limit less the
group's usage counts. The page cache counts as free, because the kernel drops it when memory is short; MemAvailable
counts it in the same way for the whole machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
GB = 1e9
SHORT = 2**28  # bytes; with less free, an allocation by PyTorch may have failed
RESUME_HINT = "the same command goes on from the last checkpoint"
OUT_OF_MEMORY = f"error: not enough memory; smaller sizes need less, and {RESUME_HINT}"
_MESSAGES = ("can't allocate memory", "not enough memory", "CUDA out of memory", "std::bad_alloc", "bad allocation")
_LOADER_MESSAGES = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")


class _CgroupFiles(NamedTuple):
    """Names of a control group's files, and of the rows of memory.stat that count reclaimable pages."""

    limit: str
    used: str
    pages: tuple[str, str]


_CGROUP_1 = _CgroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
_CGROUP_2 = _CgroupFiles("memory.max", "memory.current", ("inactive_file", "active_file"))


def available(proc: Path = PROC, groups: Path = CGROUPS) -> float:
    """Free bytes: the least of machine, control groups and address space; infinity if none is known."""
    limits = [_table_bytes(proc / "meminfo", "MemAvailable"), *_free_in_groups(proc, groups), _free_address_space(proc)]
    return min((limit for limit in limits if limit is not None), default=float("inf"))


def check(key: str, needed: float) -> None:
    """Raise a ValueError that names `key` if it needs more bytes than are free."""
    free = available()
    if needed > free:
        raise ValueError(f"{key}: needs about {needed / GB:,.3g} GB of memory, and {free / GB:.3g} GB are free here")


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error means that Python, PyTorch or the dynamic loader could not allocate, on the CPU or on a GPU.

    CPython turns some MemoryErrors into a SystemError (`error return without exception set`). A broken extension raises
    the same, so a SystemError counts only while memory is short.
    """
    text = str(error)
    if isinstance(error, SystemError):
        return _is_short()
    if isinstance(error, ImportError):
        return any(message in text for message in _LOADER_MESSAGES)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or any(message in text for message in _MESSAGES))
    )


def _is_short() -> bool:
    """Whether less than SHORT is free, or too little even to find out."""
    try:
        return available() < SHORT
    except (MemoryError, SystemError):
        return True


def _free_in_groups(proc: Path, groups: Path) -> Iterator[float | None]:
    """Free bytes of each control group that holds this process, None for one without a limit."""
    for line in _lines(proc / "self" / "cgroup"):
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            top, files = groups, _CGROUP_2
        elif "memory" in controllers.split(","):
            top, files = groups / "memory", _CGROUP_1
        else:
            continue
        # Inside a container the path may be the host's: only its top exists here, and `..` would lead out of it.
        group = top.joinpath(*(part for part in path.split("/") if part not in ("", "..")))
        while True:
            yield _free_in_group(group, files)
            if group == top:
                break
            group = group.parent


def _free_in_group(group: Path, files: _CgroupFiles) -> float | None:
    """Free bytes of one control group, None if it has no limit."""
    limit, used = _read_number(group / files.limit), _read_number(group / files.used)
    if limit is None or used is None:
        return limit
    pages = dict(line.split() for line in _lines(group / "memory.stat"))
    return max(limit - used + min(sum(float(pages.get(name, 0)) for name in files.pages), used), 0.0)


def _read_number(file: Path) -> float | None:
    """The number in a file, None if it holds another word (`max`) or is missing."""
    text = "".join(_lines(file)).strip()
    return float(text) if text.isdigit() else None


def _lines(file: Path) -> Iterable[str]:
    """The lines of a system file, none if it is missing: a control group may end while it is read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _table_bytes(file: Path, name: str) -> float | None:
    """Bytes in the row `name` of a system table, which counts in kB; None if there is no such row."""
    return next((1024.0 * int(line.split()[1]) for line in _lines(file) if line.startswith(f"{name}:")), None)


def _free_address_space(proc: Path) -> float | None:
    """Free bytes of address space (ulimit -v), None if it is unlimited."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _table_bytes(proc / "self" / "status", "VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used
