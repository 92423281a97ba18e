"""A worker whose comparisons die, take all memory or hang when they are told to.

`python -m tests.text.grading.odd_worker`
"""

import os

from chainlift.text.grading import math_equality, math_worker


def equal(answer: str, expected: str) -> bool:
    if answer == "dies":
        os._exit(3)
    if answer == "eats":
        return len(bytearray(2 * math_worker.MEMORY)) > 0
    if answer == "hangs":  # in C code, which lets no other thread of Python run
        return sum(range(10**15)) > 0
    return answer == expected


if __name__ == "__main__":
    math_equality.equal = equal
    math_worker.main()
