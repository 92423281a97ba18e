"""Findings of a part of the check: a JSON file, complete after every measurement, and a line for each."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from chainlift.bench.machine import Machine
from chainlift.bench.result import measure
from chainlift.bench.timing import Comparison

Finding = tuple[dict[str, Any], str]
"""(measurements, the same in one readable line)."""
LAST_LINES = 6  # of a traceback


class Record:
    """The findings of one part, whose time is limited."""

    def __init__(
        self, folder: Path, part: str, seconds: float, *, tiny: bool = False, earlier: Path | None = None
    ) -> None:
        """earlier: the folder of a check whose findings are not made again."""
        self.file, self.part, self.tiny = folder / f"{part}.json", part, tiny
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.findings: dict[str, Any] = {}
        self.earlier = {} if earlier is None else made_already(earlier / f"{part}.json")
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that this part may still take."""
        return self._ends - time.monotonic()

    def measure(self, key: str, measurement: Callable[[], Finding], *, needs: float = 3.0) -> dict[str, Any] | None:
        """Make a measurement and record it under `key` with seconds and peak memory; None if it fails or is skipped.

        needs: about how many seconds it takes; it is skipped if fewer are left. A finding of an earlier check is
        returned unchanged.
        """
        if key in self.earlier:
            return self.earlier[key]
        if self.left < (0.0 if self.tiny else needs):
            line = f"skipped: no time left ({self.left:.0f} s of about {needs:.0f})"
            self._keep(key, {"skipped": "no time left"}, line)
            return None
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started, line = time.monotonic(), ""
        content: dict[str, Any] | None = None
        try:
            content, line = measurement()
            finding = content
        except ImportError as error:
            finding, line = {"skipped": f"no {error.name}"}, f"skipped: no {error.name}"
        except Exception as error:
            lines = traceback.format_exc().strip().splitlines()[-LAST_LINES:]
            finding, line = {"error": lines}, f"FAILED: {type(error).__name__}: {str(error).strip()[:300]}"
        finding = finding | {"seconds": round(time.monotonic() - started, 2), "peak_bytes": self._peak()}
        self._keep(key, finding, line)
        return content

    def _peak(self) -> int | None:
        """Peak bytes allocated on the GPU since the measurement started."""
        try:
            return torch.cuda.max_memory_allocated() if self.device == "cuda" else None
        except RuntimeError:  # after a fault of the device every call fails
            return None

    def _keep(self, key: str, finding: dict[str, Any], line: str) -> None:
        self.findings[key] = finding | {"line": line}
        write(self.file, self.findings)
        print(f"[{self.part}] {key}: {line}", flush=True)


def made_already(file: Path) -> dict[str, Any]:
    """Findings of an earlier check, without skipped and failed ones."""
    findings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {key: finding for key, finding in findings.items() if "skipped" not in finding and "error" not in finding}


def write(file: Path, content: dict[str, Any]) -> None:
    """Write JSON atomically."""
    temporary = file.with_name(f".{file.name}")
    temporary.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
    os.replace(temporary, file)


def compared(comparison: Comparison, machine: Machine, repeats: int) -> Finding:
    """Interleaved measurement of a comparison's cases, with utilization relative to plain matrix products."""
    result = measure(comparison, machine, repeats)
    return result.as_dict(), "; ".join(line.strip() for line in list(result.lines())[1:])
