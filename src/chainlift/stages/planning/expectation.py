"""One line of theory's predictions, printed before a run starts."""

from __future__ import annotations

from typing import Any


def expectation(theory: dict[str, Any], *, with_rl: bool) -> str | None:
    """Theory's predictions of a run in words; None for a task without closed forms.

    with_rl: whether theory predicts a stage of reinforcement learning.
    """
    if theory["greedy"] is None or theory["greedy_accuracy"] is None:
        return None
    side = "above" if theory["greedy"] == "long" else "not above"
    text = (
        f"theory: p_cot is {side} the threshold {theory['threshold']:.3g}, so after next-token prediction greedy "
        f"answers are {theory['greedy']} (accuracy {theory['greedy_accuracy']:.3g}), and "
        f"{theory['sampled_long_share']:.1%} of the samples are long (accuracy {theory['sampled_accuracy']:.3g})"
    )
    if not with_rl:
        return text
    limit, rounds = theory["rl"]["greedy_accuracy"], theory["star_rounds_to_flip"]
    if limit is None and theory.get("star_next_share") is None:
        return f"{text}; there is no prediction of RL with this reward"
    if limit is None:
        return f"{text}; RL cannot lift this"
    return text + (f"; RL can lift this to {limit:.3g}, STaR from round {rounds} on" if rounds else "")
