"""The check on a GPU: diagnosis, right, the headline, peers, text and memory, in a fixed time whatever happens.

    python -m benchmarks.gpu_check OUT [--minutes 7] [--tiny] [--only right,headline,...] [--missing EARLIER]

--missing makes only what an earlier check, whose folder it is given, has not: what is new, was skipped or failed.

Each part is a process of its own, so that one that crashes or hangs ends no other; its findings stand in OUT/PART.json
from the moment they are there, and OUT/memory.json has the peak of each. What parts say on standard error goes to
OUT/log.txt. Without a GPU, or with --tiny, sizes are tiny: that tries the check itself.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.gpu_check.record import Record, write
from chainlift.runs import environment

PARTS = {"diagnosis": 40.0, "right": 75.0, "headline": 145.0, "peers": 100.0, "text": 100.0}
"""The parts in order, and what each weighs when the time that is left is divided."""
MISSING = {"diagnosis": 45.0, "text": 70.0, "right": 55.0, "headline": 85.0, "peers": 25.0}
"""The same with --missing: the rest that a check of 6.5 minutes on an H100 has left, what is least known first."""
GRACE = 10.0  # seconds after its time until a part is ended: what it measures then may still finish
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
SHOWN = ("torch", "triton", "numpy", "pydantic", "transformers", "trl", "accelerate", "datasets", "peft", "pytest")


def machine() -> dict[str, Any]:
    """The card, its driver and memory, and every version that matters."""
    found: dict[str, Any] = environment.describe()
    packages = {one.metadata["Name"].lower(): one.version for one in distributions()}
    found["versions"] = {name: packages.get(name) for name in SHOWN}
    found["cuda"], found["capability"], found["gpu"] = torch.version.cuda, None, None
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found |= {"gpu": card.name, "gpu_bytes": card.total_memory, "multiprocessors": card.multi_processor_count}
        found["capability"] = torch.cuda.get_device_capability(0)
    fields = "name,driver_version,memory.total,clocks.sm,clocks.mem,power.limit"
    try:
        command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=20)
        found["nvidia_smi"] = done.stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        found["nvidia_smi"] = f"not there: {error}"
    return found


def start(part: str, out: Path, work: Path, seconds: float, *, tiny: bool, missing: Path | None = None) -> str:
    """How a part's process ended: done, or what was wrong; after `seconds` and GRACE it is ended."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", str(out), "--part", part, "--work", str(work)]
    command += ["--seconds", f"{seconds:.1f}", *(["--tiny"] if tiny else [])]
    command += [] if missing is None else ["--missing", str(missing)]
    with (out / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"== {part}\n")
        log.flush()
        child = subprocess.Popen(command, stderr=log, start_new_session=True, env=os.environ | QUIET)
        try:
            status = child.wait(timeout=seconds + GRACE)
        except subprocess.TimeoutExpired:
            return f"ended after {seconds + GRACE:.0f} s"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    return "done" if status == 0 else f"exit status {status}: the end of log.txt tells why"


def run_part(part: str, out: Path, work: Path, seconds: float, *, tiny: bool, missing: Path | None) -> None:
    """One part, in this process."""
    torch.set_float32_matmul_precision("highest")  # no TF32
    record = Record(out, part, seconds, tiny=tiny, earlier=missing)
    importlib.import_module(f"benchmarks.gpu_check.{part}").run(record, work)


def memory(out: Path) -> dict[str, Any]:
    """Peak bytes on the GPU of each measurement of each part, and of the part."""
    found: dict[str, Any] = {}
    for part in PARTS:
        file = out / f"{part}.json"
        findings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        peaks = {key: one["peak_bytes"] for key, one in findings.items() if one.get("peak_bytes") is not None}
        found[part] = {"peak_bytes": max(peaks.values(), default=None), "measurements": peaks}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the findings")
    parser.add_argument("--minutes", type=float, default=7.0, help="for everything")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, as without a GPU")
    parser.add_argument("--only", default=",".join(PARTS), help="some of the parts")
    parser.add_argument("--missing", type=Path, help="folder of an earlier check, whose findings are not made again")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    tiny = chosen.tiny or not torch.cuda.is_available()
    if chosen.part is not None:
        run_part(chosen.part, chosen.out, chosen.work, chosen.seconds, tiny=tiny, missing=chosen.missing)
        return
    ends = time.monotonic() + 60 * chosen.minutes
    chosen.out.mkdir(parents=True, exist_ok=True)
    here = machine()
    write(chosen.out / "environment.json", here)
    print(f"[machine] {here['gpu'] or 'no GPU'}; {here['nvidia_smi']}; {here['versions']}", flush=True)
    if chosen.missing is not None and not chosen.missing.is_dir():
        parser.error(f"--missing: there is no folder {chosen.missing}")
    weights = PARTS if chosen.missing is None else MISSING
    todo = [part for part in weights if part in chosen.only.split(",")]
    with TemporaryDirectory(ignore_cleanup_errors=True) as work:
        for number, part in enumerate(todo):
            left = ends - time.monotonic() - GRACE
            seconds = left * weights[part] / sum(weights[later] for later in todo[number:])
            status = "no time left"
            if left > GRACE:
                status = start(part, chosen.out, Path(work), seconds, tiny=tiny, missing=chosen.missing)
            here[f"part_{part}"] = status
            write(chosen.out / "environment.json", here)
            print(f"[{part}] {status}", flush=True)
            write(chosen.out / "memory.json", memory(chosen.out))
    for part, one in memory(chosen.out).items():
        peak = "not measured" if one["peak_bytes"] is None else f"{one['peak_bytes'] / 2**30:.2f} GiB at the peak"
        print(f"[memory] {part}: {peak}", flush=True)


if __name__ == "__main__":
    main()
