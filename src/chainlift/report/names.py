"""Names of measured quantities in the terminal and on pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# (key in a stage's summary, displayed name, key among theory's predictions)
QUANTITIES = (
    ("greedy_accuracy", "greedy accuracy", "greedy_accuracy"),
    ("greedy_length_median", "greedy length (median)", "greedy_length_median"),
    ("sampled_accuracy", "sampled accuracy", "sampled_accuracy"),
    ("sampled_long_share", "sampled long share", "sampled_long_share"),
    ("sampled_short_accuracy", "sampled accuracy of short responses", "sampled_short_accuracy"),
    ("sampled_long_accuracy", "sampled accuracy of long responses", "sampled_long_accuracy"),
    ("long_prefix_probability", "probability of the long form's opening", "sampled_long_share"),
    ("forced_long_accuracy", "greedy accuracy of responses made long", "forced_long_accuracy"),
    ("sampled_length_mean_right", "mean length of right samples", "sampled_length_mean_right"),
    ("sampled_length_mean_wrong", "mean length of wrong samples", "sampled_length_mean_wrong"),
    ("exact_accuracy", "sampled accuracy, exact", "sampled_accuracy"),
    ("exact_long_share", "long share, exact", "sampled_long_share"),
    ("decision_go_on", "P(go on after y_1)", "go_on"),
)


def measured_in(stages: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """The QUANTITIES that all of these stage summaries have.

    Only linear models have exact quantities, and only language models have accuracies of a single form.
    """
    summaries = list(stages)
    return [quantity for quantity in QUANTITIES if all(quantity[0] in stage for stage in summaries)]
