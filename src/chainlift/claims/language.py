"""The table of checks that claims on language models share.

After fine-tuning, the model's probability of opening a long answer is checked instead of the sampled long share, as a
probability has no sampling error: with 512 samples of a calibrated model, the share of one seed in three would be off
by more than .02. Answers that are forced to be long, before and after RL, tell selection from improvement.
"""

from __future__ import annotations

from chainlift.claims.check import RL_UPDATES, Check, P, Row, having
from chainlift.claims.finished import Finished

BASELINE, RL = "continued_pretrain", "posttrain"


def gain(run: Finished) -> float:
    """The greedy accuracy after RL minus that before it."""
    return _change(run, "greedy_accuracy")


def forced_gain(run: Finished) -> float:
    """The change by RL of the greedy accuracy of answers that are forced to be long."""
    return _change(run, "forced_long_accuracy")


def language_checks(p_cot: float, *, min_gain: float, opening_error: float, forced: float | None = None) -> list[Row]:
    """The checks of runs at p_cot, and measurements of the controls at 0 and 1.

    min_gain: least accuracy gained by RL; opening_error: largest error of the opening's probability; forced: least
    accuracy of answers made long before RL.
    """
    main, none, only = having(P, p_cot), having(P, 0.0), having(P, 1.0)
    return [
        Check("greedy long share after fine-tuning", "greedy_long_share", 0.0, 0.02, where=main),
        Check(
            "probability of the long opening after fine-tuning",
            "long_prefix_probability",
            lambda place: place.p,
            opening_error,
            where=main,
        ),
        Check("sampled long share after fine-tuning", "sampled_long_share", where=main),
        Check("greedy accuracy after fine-tuning", "greedy_accuracy", where=main),
        Check("sampled accuracy of short answers after fine-tuning", "sampled_short_accuracy", where=main),
        Check("sampled accuracy of long answers after fine-tuning", "sampled_long_accuracy", where=main),
        Check(
            "greedy accuracy of answers made long, after fine-tuning",
            "forced_long_accuracy",
            forced,
            check="each" if forced is None else "at_least",
            where=main,
        ),
        Check("greedy length after fine-tuning, tokens", "greedy_length_mean", where=main),
        Check("greedy long share if fine-tuning goes on instead", "greedy_long_share", 0.0, 0.02, BASELINE, where=main),
        Check("greedy accuracy if fine-tuning goes on instead", "greedy_accuracy", stage=BASELINE, where=main),
        Check("greedy long share after RL", "greedy_long_share", 1.0, 0.05, RL, where=main),
        Check("greedy accuracy after RL", "greedy_accuracy", stage=RL, where=main),
        Check("sampled accuracy after RL", "sampled_accuracy", stage=RL, where=main),
        Check("greedy length after RL, tokens", "greedy_length_mean", stage=RL, where=main),
        Check("greedy accuracy gained by RL", gain, min_gain, check="at_least", where=main),
        Check("greedy accuracy of answers made long, after RL", "forced_long_accuracy", stage=RL, where=main),
        Check("accuracy of answers made long, gained by RL", forced_gain, where=main),
        Check("greedy long share after RL, no long demonstrations", "greedy_long_share", 0.0, 0.02, RL, where=none),
        Check("greedy accuracy after fine-tuning, no long demonstrations", "greedy_accuracy", where=none),
        Check("greedy accuracy after RL, no long demonstrations", "greedy_accuracy", stage=RL, where=none),
        Check("greedy accuracy after fine-tuning, long demonstrations only", "greedy_accuracy", where=only),
        Check("greedy accuracy after RL, long demonstrations only", "greedy_accuracy", stage=RL, where=only),
        Check("greedy accuracy during RL", "greedy.accuracy", stage=RL, axis=RL_UPDATES, where=main),
        Check("greedy length during RL", "greedy.length_mean", stage=RL, axis=RL_UPDATES, where=main),
    ]


def _change(run: Finished, key: str) -> float:
    return float(run.summary[RL][key]) - float(run.summary["pretrain"][key])
