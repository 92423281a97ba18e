"""How much memory this process may still take, looked at before sizes that somebody typed are allocated.

PyTorch would be killed without a word (where the system promises more memory than there is), or fail deep inside.
"""

from __future__ import annotations

from pathlib import Path

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
GB = 1e9


def available() -> float:
    """Bytes: the least of what the machine has free, what its container may take, and the limit of address space."""
    found = [_from_table(Path("/proc/meminfo"), "MemAvailable"), *map(_limit, LIMITS), _address_space()]
    return min((one for one in found if one is not None), default=float("inf"))


def check(key: str, needed: float) -> None:
    """ValueError that names the key whose sizes need more bytes than are there."""
    free = available()
    if needed > free:
        raise ValueError(f"{key}: needs about {needed / GB:,.3g} GB of memory, and {free / GB:.3g} GB are free here")


def _from_table(file: Path, name: str) -> float | None:
    """Bytes behind a name in a table of the system, which gives them in kB."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def _limit(file: Path) -> float | None:
    """A container's limit, None where there is none."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return float(text) if text.isdigit() else None


def _address_space() -> float | None:
    """What is left below the limit of address space (ulimit -v), None where there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _from_table(Path("/proc/self/status"), "VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used
