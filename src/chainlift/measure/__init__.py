"""Measurements: evaluations of tasks of symbols and of text, statistics, and comparison with predictions."""
