"""The main result on a pretrained language model: SmolLM2-135M on generated word problems."""

from __future__ import annotations

from chainlift.claims import Claim, Grid
from chainlift.claims.language import language_checks

QUICK = (
    "task.min_steps=1", "task.max_steps=2", "pretrain.steps=48", "posttrain.steps=10", "evaluate.prompts=128",
)  # fmt: skip
P_COT = 0.33
MIN_GAIN = 0.1  # without an effect, a seed gains as much by chance once in 150 times at 256 problems and accuracy .3

CLAIM = Claim(
    "llm-smol",
    "Fine-tuned on word problems with too few solutions, SmolLM2-135M answers shortly and poorly; RL makes it reason",
    Grid("llm-smol", quick=QUICK),
    language_checks(P_COT, min_gain=MIN_GAIN, opening_error=0.05),
    seeds=(0, 1, 2, 3),
    order=210,
    in_all=False,
)
