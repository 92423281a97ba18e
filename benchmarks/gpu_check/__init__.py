"""What only a machine with a GPU can tell, in a few minutes: `python -m benchmarks.gpu_check OUT`."""
