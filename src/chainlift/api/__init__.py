"""The Python interface, `import chainlift as cl`; PyTorch is imported only by what needs it."""

from chainlift.api.one_run import Run
from chainlift.api.pieces import algorithm, family, reward, stage, task
from chainlift.api.verbs import open, recipe, run, runs, sweep, theory

__all__ = [
    "Run",
    "algorithm",
    "family",
    "open",
    "recipe",
    "reward",
    "run",
    "runs",
    "stage",
    "sweep",
    "task",
    "theory",
]
