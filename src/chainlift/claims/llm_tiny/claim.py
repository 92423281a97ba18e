"""The main result on a language model: a tiny Llama, trained from scratch on generated word problems."""

from __future__ import annotations

from chainlift.claims import Claim, Grid, P, each_of
from chainlift.claims.language import language_checks

QUICK = (
    "task.min_steps=2", "task.max_steps=2", "pretrain.steps=300", "pretrain.batch_size=64", "posttrain.steps=10",
    "evaluate.prompts=256",
)  # fmt: skip
P_COT = 0.4
MIN_GAIN = 0.1  # without an effect, a seed gains as much by chance once in 2,000 times at 512 problems
NUM_CONTROLS = 3
CONTROLS = Grid("llm-tiny", {P: (0.0, 1.0)}, ("continued_pretrain=null",), quick=QUICK)

CLAIM = Claim(
    "llm-tiny",
    "Fine-tuned on word problems with too few solutions, a tiny Llama answers shortly and poorly; RL makes it reason",
    each_of(Grid("llm-tiny", quick=QUICK), lambda seeds, quick=False: CONTROLS(seeds[:NUM_CONTROLS], quick)),
    language_checks(P_COT, min_gain=MIN_GAIN, opening_error=0.03, forced=0.9),
    seeds=tuple(range(8)),
    order=200,
    in_all=False,
)
