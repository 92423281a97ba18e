"""The main result on a language model: a tiny Llama, trained from scratch on generated word problems.

After fine-tuning, the claim checks the model's probability of opening a long answer instead of the sampled long share,
as a probability has no sampling error: with 512 samples of a calibrated model, the share of one seed in three would be
off by more than .02.
"""

from __future__ import annotations

from chainlift.claims import RL_UPDATES, Check, Claim, Finished, Grid

QUICK = (
    "task.max_steps=2", "task.max_number=10", "pretrain.steps=600", "posttrain.steps=10", "evaluate.prompts=256",
)  # fmt: skip
ALLOWED_OPENING = 0.03  # error of the opening's probability; the share of long training data is p_cot within .0074
MIN_GAIN = 0.1  # without an effect, a seed gains as much by chance once in 10,000 times at 512 problems
BASELINE, RL = "continued_pretrain", "posttrain"


def gain(run: Finished) -> float:
    """The greedy accuracy after RL minus that before it."""
    return float(run.summary["posttrain"]["greedy_accuracy"]) - float(run.summary["pretrain"]["greedy_accuracy"])


CLAIM = Claim(
    "llm-tiny",
    "Fine-tuned on word problems with too few solutions, a tiny Llama answers shortly and poorly; RL makes it reason",
    Grid("llm-tiny", quick=QUICK),
    (
        Check("greedy long share after fine-tuning", "greedy_long_share", 0.0, 0.02),
        Check(
            "probability of the long opening after fine-tuning",
            "long_prefix_probability",
            lambda place: place.p,
            ALLOWED_OPENING,
        ),
        Check("sampled long share after fine-tuning", "sampled_long_share"),
        Check("greedy accuracy after fine-tuning", "greedy_accuracy"),
        Check("sampled accuracy of short answers after fine-tuning", "sampled_short_accuracy"),
        Check("sampled accuracy of long answers after fine-tuning", "sampled_long_accuracy"),
        Check("greedy accuracy of answers made long, after fine-tuning", "forced_long_accuracy"),
        Check("greedy length after fine-tuning, tokens", "greedy_length_mean"),
        Check("greedy long share if fine-tuning goes on instead", "greedy_long_share", 0.0, 0.02, BASELINE),
        Check("greedy accuracy if fine-tuning goes on instead", "greedy_accuracy", stage=BASELINE),
        Check("greedy long share after RL", "greedy_long_share", 1.0, 0.05, RL),
        Check("greedy accuracy after RL", "greedy_accuracy", stage=RL),
        Check("sampled accuracy after RL", "sampled_accuracy", stage=RL),
        Check("greedy length after RL, tokens", "greedy_length_mean", stage=RL),
        Check("greedy accuracy gained by RL", gain, MIN_GAIN, check="at_least"),
        Check("greedy accuracy during RL", "greedy.accuracy", stage=RL, axis=RL_UPDATES),
        Check("greedy length during RL, tokens", "greedy.length_mean", stage=RL, axis=RL_UPDATES),
    ),
    order=200,
    in_all=False,
)
