"""placeholder until helper-2."""

import math

import numpy as np


def wilson(successes, n, level=0.95):
    if n == 0:
        return (0.0, 1.0)
    z = 1.959963984540054
    p = successes / n
    d = 1 + z * z / n
    c = (p + z * z / (2 * n)) / d
    h = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return (max(c - h, 0.0), min(c + h, 1.0))


def pass_at_k(right, samples, ks):
    return {k: float(np.mean([1 - math.comb(samples - int(c), k) / math.comb(samples, k) for c in right])) for k in ks}
