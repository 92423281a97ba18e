"""Profile of a GPU during updates: kernels launched, busy time and idle time."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_check.record import Finding
from chainlift.bench.machine import Machine

NOT_KERNELS = ("Memcpy", "Memset", "ProfilerStep", "## ")


def profiled(machine: Machine, act: Callable[[int], object], *, repeats: int = 4, steps: int = 2) -> Finding:
    """Median seconds of an action without the profiler, and the device's activity in `steps` actions under it.

    `gpu_waits` is 1 - busy time / wall time, with the wall time without the profiler, which slows launches. A step of a
    replayed graph counts each of its kernels, though one call launches them.
    """
    for step in range(2):
        act(step)
    seconds = []
    for step in range(repeats):
        started = machine.clock()
        act(step)
        seconds.append(machine.clock() - started)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if machine.device == "cuda" else [])]
    with profile(activities=activities) as profiler:
        started = machine.clock()
        for step in range(steps):
            act(step)
        profiled_seconds = (machine.clock() - started) / steps
    events: Any = profiler.events()
    on_gpu = [event for event in events if event.device_type == DeviceType.CUDA]
    kernels = [event for event in on_gpu if not event.name.startswith(NOT_KERNELS)]
    copies = [event for event in on_gpu if event.name.startswith(("Memcpy", "Memset"))]
    launches = sum(event.name in ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel") for event in events)
    busy = union([(event.time_range.start, event.time_range.end) for event in [*kernels, *copies]]) / 1e6 / steps
    wall = statistics.median(seconds)
    finding: dict[str, Any] = {
        "seconds_median": wall,
        "seconds_each": seconds,
        "seconds_under_profiler": profiled_seconds,
    }
    finding |= {"kernels": len(kernels) / steps, "copies": len(copies) / steps, "launch_calls": launches / steps}
    finding |= {"graph_launches": sum(event.name == "cudaGraphLaunch" for event in events) / steps}
    waits = sum(event.name in ("cudaStreamSynchronize", "cudaDeviceSynchronize") for event in events)
    finding |= {"synchronizations": waits / steps}
    finding |= {"operators": sum(event.name.startswith("aten::") for event in events) / steps}
    finding |= {"busy_seconds": busy if on_gpu else None, "gpu_waits": max(1 - busy / wall, 0.0) if on_gpu else None}
    line = f"{wall * 1e3:.2f} ms"
    if on_gpu:
        line += f", {finding['kernels']:.0f} kernels ({finding['launch_calls']:.0f} launched one by one, "
        line += f"{finding['graph_launches']:.0f} graphs), {finding['copies']:.0f} copies, "
        line += (
            f"{finding['synchronizations']:.0f} synchronizations, the GPU waits {finding['gpu_waits']:.0%} of the time"
        )
    return finding, line


def union(spans: list[tuple[float, float]]) -> float:
    """Total length of the union of spans (start, end)."""
    covered, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(end - max(start, until), 0.0)
        until = max(until, end)
    return covered
