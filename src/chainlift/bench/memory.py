"""Peak memory of a case, measured in its own process: the memory that two repetitions add.

Libraries, data and weights are loaded before, so a peer does not pay for the size of its package. On a GPU it is the
memory allocated by torch. On Linux it is the peak resident memory of the process (VmHWM), because ru_maxrss starts
at the parent's peak there. Elsewhere it is ru_maxrss.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from chainlift.bench.language.suite import TextSuite, suite_of
from chainlift.bench.machine import Machine
from chainlift.bench.states import States
from chainlift.bench.suite import Suite
from chainlift.bench.timing import Case, Comparison
from chainlift.stages import recipe as recipes

PROC = Path("/proc")
REPETITIONS = 2


def added(suite: Suite | TextSuite, comparison: Comparison, case: Case, threads: int) -> int:
    """Bytes that a case adds at its peak; RuntimeError with the last line of the error if its process fails."""
    states = suite.states
    question = {
        "recipe": states.recipe.model_dump(mode="json"),
        "early": str(states.early),
        "late": None if states.late is None else str(states.late),
        "device": suite.machine.device,
        "dtype": suite.machine.dtype,
        "peers": suite.peers,
        "action": comparison.action,
        "state": comparison.state,
        "case": case.name,
        "threads": threads,
    }
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.run(
        [sys.executable, "-m", "chainlift.bench.memory"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
    )
    if process.returncode:
        error_lines = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
        raise RuntimeError(f"the memory of {comparison.title}, {case.name}, cannot be measured: {error_lines[-1]}")
    return int(process.stdout.splitlines()[-1])


def used(device: str) -> int:
    """Bytes that this process uses on the device now; its peak if the system reports only that."""
    if device == "cuda":
        return torch.cuda.memory_allocated()
    return _status("VmRSS") or _peak_of_usage()


def peak(device: str) -> int:
    """Bytes that this process used on the device at its peak."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return _status("VmHWM") or _peak_of_usage()


def peak_of(pid: int) -> int | None:
    """Peak resident bytes of another process so far; None if the system does not report it."""
    return _status("VmHWM", str(pid))


def _status(key: str, process: str = "self") -> int | None:
    """An entry of a process's status in bytes; None if missing, as for a process that has ended."""
    try:
        text = (PROC / process / "status").read_text(encoding="utf-8")
    except OSError:
        return None
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines[key].split()[0]) * 1024 if key in lines else None


def _peak_of_usage() -> int:
    """ru_maxrss in bytes: macOS counts bytes, others kilobytes."""
    import resource  # not there on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _answer(question: dict[str, Any]) -> int:
    """Bytes that the case described by `question` adds, measured in this process."""
    torch.set_num_threads(question["threads"])
    late = None if question["late"] is None else Path(question["late"])
    states = States(recipes.build(question["recipe"]), Path(question["early"]), late)
    suite = suite_of(states, Machine(question["device"], question["dtype"]), peers=question["peers"])
    (case,) = (
        case
        for comparison in suite.comparisons()
        if (comparison.action, comparison.state) == (question["action"], question["state"])
        for case in comparison.cases
        if case.name == question["case"]
    )
    if case.kind == "peer":
        from chainlift.bench import peers

        peers.missing()  # imports them
    action = case.make()
    before = used(suite.machine.device)
    for step in range(REPETITIONS):
        action(step)
    return max(peak(suite.machine.device) - before, 0)


if __name__ == "__main__":
    print(_answer(json.load(sys.stdin)))
