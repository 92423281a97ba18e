"""How much memory this process may still take, and which errors say that there was too little.

Sizes from a recipe or a command line are compared with it before anything is allocated. Otherwise the system would kill
the process without a word (where it promises more memory than there is), or PyTorch would fail deep inside.

A container, a job of Slurm or a service of systemd is a control group of Linux, in version 1 or 2 of its files. Each
group from the process's own up to the root may have a limit, and what counts is what is left below it: other
processes of the group use memory too. Pages of files that the kernel keeps in memory count as free, as it drops them
when memory is short (so does MemAvailable for the whole machine).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")
GB = 1e9
SHORT = 2**28  # bytes; below, an allocation of PyTorch's may well have failed
GO_ON = "the same command goes on from the last checkpoint"
SPENT = f"error: not enough memory; smaller sizes need less, and {GO_ON}"
_SIGNS = ("can't allocate memory", "not enough memory", "CUDA out of memory", "std::bad_alloc", "bad allocation")
_SIGNS_OF_A_LIBRARY = ("failed to map segment", "cannot allocate memory", "Cannot allocate memory")


class _Files(NamedTuple):
    """Names of a group's files, and of its rows of reclaimable pages."""

    limit: str
    used: str
    pages: tuple[str, str]


_VERSION_1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
_VERSION_2 = _Files("memory.max", "memory.current", ("inactive_file", "active_file"))


def available(proc: Path = PROC, groups: Path = GROUPS) -> float:
    """Bytes: the least of what the machine has free, what is left to its control groups, and of address space."""
    found = [_from_table(proc / "meminfo", "MemAvailable"), *_left_to_groups(proc, groups), _address_space(proc)]
    return min((one for one in found if one is not None), default=float("inf"))


def check(key: str, needed: float) -> None:
    """ValueError that names the key whose sizes need more bytes than are there."""
    free = available()
    if needed > free:
        raise ValueError(f"{key}: needs about {needed / GB:,.3g} GB of memory, and {free / GB:.3g} GB are free here")


def ran_out(error: Exception) -> bool:
    """Whether Python, PyTorch or the loader of libraries could not allocate, on the CPU or on a GPU.

    CPython loses some MemoryErrors and says `error return without exception set` (SystemError). So can a broken
    extension, so that it counts only while memory is short.
    """
    text = str(error)
    if isinstance(error, SystemError):
        return _is_short()
    if isinstance(error, ImportError):
        return any(sign in text for sign in _SIGNS_OF_A_LIBRARY)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or any(sign in text for sign in _SIGNS))
    )


def _is_short() -> bool:
    """Whether an allocation may well have failed; where there is too little to look, it has."""
    try:
        return available() < SHORT
    except (MemoryError, SystemError):
        return True


def _left_to_groups(proc: Path, groups: Path) -> Iterator[float | None]:
    """What is left to each control group that holds this process, None for one without a limit."""
    for line in _lines(proc / "self" / "cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, files = groups, _VERSION_2
        elif "memory" in controllers.split(","):
            top, files = groups / "memory", _VERSION_1
        else:
            continue
        # Inside a container the path may be the host's, of which only the top is to be seen; `..` leads out of it.
        group = top.joinpath(*(part for part in path.split("/") if part not in ("", "..")))
        while True:
            yield _left(group, files)
            if group == top:
                break
            group = group.parent


def _left(group: Path, files: _Files) -> float | None:
    """What is left to one group, None where it has no limit."""
    limit, used = _number(group / files.limit), _number(group / files.used)
    if limit is None or used is None:
        return limit
    pages = dict(line.split() for line in _lines(group / "memory.stat"))
    return max(limit - used + min(sum(float(pages.get(name, 0)) for name in files.pages), used), 0.0)


def _number(file: Path) -> float | None:
    """The number in a file, None where there is none (`max`)."""
    text = "".join(_lines(file)).strip()
    return float(text) if text.isdigit() else None


def _lines(file: Path) -> Iterable[str]:
    """The lines of a file of the system, none where it is not there: a group may end while it is read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _from_table(file: Path, name: str) -> float | None:
    """Bytes behind a name in a table of the system, which gives them in kB."""
    return next((1024.0 * int(line.split()[1]) for line in _lines(file) if line.startswith(f"{name}:")), None)


def _address_space(proc: Path) -> float | None:
    """What is left below the limit of address space (ulimit -v), None where there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _from_table(proc / "self" / "status", "VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used
