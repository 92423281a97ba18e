"""Measurements: evaluations of both sorts of task, statistics, and their comparison with predictions."""
