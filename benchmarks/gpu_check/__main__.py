"""The check on a GPU: diagnosis, right, the headline, peers, text and memory, within a fixed time.

    python -m benchmarks.gpu_check OUT [--minutes 7] [--tiny] [--only right,headline,...] [--missing EARLIER]

--missing takes the folder of an earlier check, and makes only measurements that are new, were skipped or failed there.

Each part is a separate process, so one that crashes or hangs ends no other. Its findings are in OUT/PART.json as soon
as they are made, and its peak memory in OUT/memory.json. Standard error of the parts goes to OUT/log.txt. Without a
GPU, or with --tiny, sizes are tiny, which tests the check itself.
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
"""{part: weight} in order; the remaining time is divided by weight."""
MISSING = {"diagnosis": 45.0, "text": 70.0, "right": 55.0, "headline": 85.0, "peers": 25.0}
"""The same with --missing, for what a check of 6.5 minutes on an H100 left undone, the least known first."""
GRACE = 10.0  # seconds after a part's time until it is killed, so that its current measurement may finish
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
SHOWN = ("torch", "triton", "numpy", "pydantic", "transformers", "trl", "accelerate", "datasets", "peft", "pytest")


def machine() -> dict[str, Any]:
    """Description of the GPU, its driver and memory, and relevant versions."""
    description: dict[str, Any] = environment.describe()
    packages = {distribution.metadata["Name"].lower(): distribution.version for distribution in distributions()}
    description["versions"] = {name: packages.get(name) for name in SHOWN}
    description["cuda"], description["capability"], description["gpu"] = torch.version.cuda, None, None
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        description |= {"gpu": card.name, "gpu_bytes": card.total_memory, "multiprocessors": card.multi_processor_count}
        description["capability"] = torch.cuda.get_device_capability(0)
    fields = "name,driver_version,memory.total,clocks.sm,clocks.mem,power.limit"
    try:
        command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
        process = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=20
        )
        description["nvidia_smi"] = process.stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        description["nvidia_smi"] = f"not available: {error}"
    return description


def start(part: str, out: Path, work: Path, seconds: float, *, tiny: bool, missing: Path | None = None) -> str:
    """Run a part in a process, for at most `seconds` and GRACE; `done`, or why it failed."""
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
    return "done" if status == 0 else f"exit status {status}: see the end of log.txt"


def run_part(part: str, out: Path, work: Path, seconds: float, *, tiny: bool, missing: Path | None) -> None:
    """Run one part in this process."""
    torch.set_float32_matmul_precision("highest")  # no TF32
    record = Record(out, part, seconds, tiny=tiny, earlier=missing)
    importlib.import_module(f"benchmarks.gpu_check.{part}").run(record, work)


def memory(out: Path) -> dict[str, Any]:
    """Peak bytes on the GPU for each part and each of its measurements."""
    peaks_of_parts: dict[str, Any] = {}
    for part in PARTS:
        file = out / f"{part}.json"
        findings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        peaks = {
            key: finding["peak_bytes"] for key, finding in findings.items() if finding.get("peak_bytes") is not None
        }
        peaks_of_parts[part] = {"peak_bytes": max(peaks.values(), default=None), "measurements": peaks}
    return peaks_of_parts


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
    options = parser.parse_args()
    tiny = options.tiny or not torch.cuda.is_available()
    if options.part is not None:
        run_part(options.part, options.out, options.work, options.seconds, tiny=tiny, missing=options.missing)
        return
    ends = time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    description = machine()
    write(options.out / "environment.json", description)
    print(
        f"[machine] {description['gpu'] or 'no GPU'}; {description['nvidia_smi']}; {description['versions']}",
        flush=True,
    )
    if options.missing is not None and not options.missing.is_dir():
        parser.error(f"--missing: there is no folder {options.missing}")
    weights = PARTS if options.missing is None else MISSING
    todo = [part for part in weights if part in options.only.split(",")]
    with TemporaryDirectory(ignore_cleanup_errors=True) as work:
        for number, part in enumerate(todo):
            left = ends - time.monotonic() - GRACE
            seconds = left * weights[part] / sum(weights[later] for later in todo[number:])
            status = "no time left"
            if left > GRACE:
                status = start(part, options.out, Path(work), seconds, tiny=tiny, missing=options.missing)
            description[f"part_{part}"] = status
            write(options.out / "environment.json", description)
            print(f"[{part}] {status}", flush=True)
            write(options.out / "memory.json", memory(options.out))
    for part, peaks in memory(options.out).items():
        peak = "not measured" if peaks["peak_bytes"] is None else f"{peaks['peak_bytes'] / 2**30:.2f} GiB at the peak"
        print(f"[memory] {part}: {peak}", flush=True)


if __name__ == "__main__":
    main()
