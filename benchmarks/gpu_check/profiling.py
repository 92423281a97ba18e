"""What a GPU does during some updates: kernels launched, time in which one runs, time in which none does."""

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
    """Median seconds of an action without the profiler, and what the device did in `steps` of them under it.

    `gpu_waits` is 1 - busy time / wall time, by the wall time without the profiler, which slows launching down. A step
    of a replayed graph counts each of its kernels, though one call launches them.
    """
    for step in range(2):
        act(step)
    seconds = []
    for step in range(repeats):
        began = machine.clock()
        act(step)
        seconds.append(machine.clock() - began)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if machine.device == "cuda" else [])]
    with profile(activities=activities) as profiler:
        began = machine.clock()
        for step in range(steps):
            act(step)
        under = (machine.clock() - began) / steps
    events: Any = profiler.events()
    on_gpu = [one for one in events if one.device_type == DeviceType.CUDA]
    kernels = [one for one in on_gpu if not one.name.startswith(NOT_KERNELS)]
    copies = [one for one in on_gpu if one.name.startswith(("Memcpy", "Memset"))]
    launches = sum(one.name in ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel") for one in events)
    busy = union([(one.time_range.start, one.time_range.end) for one in [*kernels, *copies]]) / 1e6 / steps
    wall = statistics.median(seconds)
    found: dict[str, Any] = {"seconds_median": wall, "seconds_each": seconds, "seconds_under_profiler": under}
    found |= {"kernels": len(kernels) / steps, "copies": len(copies) / steps, "launch_calls": launches / steps}
    found |= {"graph_launches": sum(one.name == "cudaGraphLaunch" for one in events) / steps}
    waits = sum(one.name in ("cudaStreamSynchronize", "cudaDeviceSynchronize") for one in events)
    found |= {"synchronizations": waits / steps}
    found |= {"operators": sum(one.name.startswith("aten::") for one in events) / steps}
    found |= {"busy_seconds": busy if on_gpu else None, "gpu_waits": max(1 - busy / wall, 0.0) if on_gpu else None}
    line = f"{wall * 1e3:.2f} ms"
    if on_gpu:
        line += f", {found['kernels']:.0f} kernels ({found['launch_calls']:.0f} launched one by one, "
        line += f"{found['graph_launches']:.0f} graphs), {found['copies']:.0f} copies, "
        line += f"{found['synchronizations']:.0f} synchronizations, the GPU waits {found['gpu_waits']:.0%} of the time"
    return found, line


def union(spans: list[tuple[float, float]]) -> float:
    """The length of what some spans cover together."""
    covered, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(end - max(start, until), 0.0)
        until = max(until, end)
    return covered
