"""Checks and measurements that need a GPU, in a few minutes: `python -m benchmarks.gpu_check OUT`."""
