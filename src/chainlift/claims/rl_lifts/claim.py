"""RL lifts a checkpoint of parity at which next-token prediction has stalled."""

from __future__ import annotations

from chainlift.claims import QUICK_SUMS, RL_UPDATES, Check, Claim, Finished, Grid, Place
from chainlift.claims.rl_lifts.figure import pictures

QUICK = (
    "task.d=12", *QUICK_SUMS, "pretrain.steps=280", "posttrain.prompts=64", "posttrain.lr=5e-4",
    "evaluate.every=40",
)  # fmt: skip
RUNS = Grid("headline", quick=QUICK)
"""The runs; the claim `reweighting` uses them, too."""
MAX_UPDATES = 20
"""Updates within which RL is claimed to lift."""
SEEDS = tuple(range(10))


def predicted_accuracy(place: Place) -> float | None:
    """Accuracy 1 from MAX_UPDATES on; no prediction before."""
    return 1.0 if place.x >= MAX_UPDATES else None


def samples_per_demonstration(run: Finished) -> float:
    """The number of RL's samples divided by that of the demonstrations of next-token prediction."""
    return run.summary["posttrain"]["rollouts"] / run.summary["pretrain"]["sequences"]


CLAIM = Claim(
    "rl-lifts",
    "From that checkpoint, RL reaches greedy accuracy .99 and full length within about 20 updates",
    RUNS,
    (
        Check("greedy accuracy after NTP", "greedy_accuracy", 0.5, 0.05),
        Check("greedy length after NTP", "greedy_length_median", 1.0),
        Check("greedy accuracy after RL", "greedy_accuracy", 1.0, 0.01, "posttrain"),
        Check("greedy length after RL", "greedy_length_median", lambda place: float(place.d), 0.0, "posttrain"),
        Check("greedy accuracy where NTP went on instead", "greedy_accuracy", 0.5, 0.05, "continued_pretrain"),
        Check("greedy length where NTP went on instead", "greedy_length_median", 1.0, 0.0, "continued_pretrain"),
        Check("greedy accuracy during RL", "greedy.accuracy", predicted_accuracy, 0.01, "posttrain", axis=RL_UPDATES),
        Check("RL's samples as a share of NTP's demonstrations", samples_per_demonstration),
    ),
    seeds=SEEDS,
    order=20,
    pictures=pictures,
)
