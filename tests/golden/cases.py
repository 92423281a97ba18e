"""The runs whose numbers are kept, and the names of those numbers: the file to change when keys are renamed.

When a refactoring renames a key of a recipe, change it here and nowhere else. When it renames a key, a stage or a kind
of row in the run folder, put {recorded name: new name} into RENAMED: the recorded values then still guard it. Record
again afterwards, and empty RENAMED.
"""

from __future__ import annotations

from typing import NamedTuple

SMALL = """
title: golden
seed: 0
task: {name: running_sum, d: 4, modulus: 2}
mixture: {p_cot: 0.5}
model: {family: gpt2, layers: 2, width: 16, heads: 2}
stages:
  pretrain:
    {kind: ntp, steps: 10, batch_size: 16, optimizer: adamw, lr: 1e-2, warmup: 2, schedule: linear,
     stable_fraction: 0.5}
  posttrain:
    {kind: rl, algorithm: grpo, reward: end_to_end, prompts: 8, group_size: 4, steps: 3, lr: 1e-2, warmup: 1,
     schedule: cosine}
evaluate: {prompts: 16, during: 16, every: 10, every_rounds: 10, pass_at_k_prompts: 4, pass_at_k_samples: 2}
device: cpu
dtype: float32
threads: 1
"""

LANGUAGE = """
title: golden
seed: 0
task:
  {name: word_problems, train_size: 2, test_size: 4, min_steps: 1, max_steps: 1, max_number: 10, max_tokens: 8,
   template: {marker: long}}
mixture: {p_cot: 0.25}
model:
  {family: transformers, scratch: {layers: 1, width: 16, heads: 2, mlp: 32, context: 128, vocabulary: 300}}
stages:
  pretrain:
    {kind: trl_sft, steps: 12, batch_size: 8, micro_batch_size: 4, lr: 5e-2, warmup: 1, max_length: 128,
     checkpoint_every: 100}
  posttrain:
    {kind: trl_rl, algorithm: grpo, prompts: 4, group_size: 4, steps: 2, lr: 1e-2, schedule: constant,
     micro_batch_size: 8, checkpoint_every: 100}
evaluate: {prompts: 4, during: 4, every: 100, every_rounds: 100, pass_at_k_prompts: 0}
device: cpu
dtype: float32
threads: 1
"""

BASELINE = (
    "stages.continued_pretrain.kind=ntp continued_pretrain.start=pretrain continued_pretrain.match_tokens=posttrain"
)
LINEAR = (
    "model.family=linear pretrain.loss_weighting=sequence_sum pretrain.max_grad_norm=100.0"
    " pretrain.optimizer=sgd pretrain.lr=1.0 posttrain.optimizer=sgd posttrain.lr=1.0"
)
MODELS = {
    "gpt2": "",
    "mistral": "model.family=mistral model.heads=4",
    "mistral-shapes": "model.family=mistral model.heads=4 model.kv_heads=1 model.mlp_width=24 model.layers=1",
    "linear": f"{LINEAR} model.stop_degree=2",
    "linear-modulus": f"{LINEAR} model.stop_degree=1 task.modulus=3",
    "bfloat16": "dtype=bfloat16",
    "trained": "model.family=mistral model.width=32 mixture.p_cot=0.8 pretrain.optimizer=muon pretrain.steps=60"
    " pretrain.batch_size=64 evaluate.every=60 posttrain.temperature=0.7 posttrain.lr=1e-3",
}

OPTIMIZERS = {
    "muon": "pretrain.optimizer=muon pretrain.muon_lr=1e-2 posttrain.optimizer=muon posttrain.muon_lr=3e-3",
    "sgd": "pretrain.optimizer=sgd pretrain.lr=0.3 posttrain.optimizer=sgd posttrain.lr=0.3",
    "adamw-settings": "pretrain.weight_decay=0.1 pretrain.beta1=0.8 pretrain.beta2=0.95 pretrain.max_grad_norm=0.5"
    " pretrain.schedule=cosine pretrain.stable_fraction=0.2 posttrain=null",
    "row-norm": "pretrain.max_row_norm=0.3 pretrain.schedule=constant pretrain.warmup=0 posttrain=null",
    "average": "pretrain.average_tail=0.6 evaluate.every=7 posttrain=null",
    "average-window": "pretrain.optimizer=muon pretrain.average_tail=1.0 pretrain.average_window=3 evaluate.every=5",
    "sequence-mean": "pretrain.loss_weighting=sequence_mean posttrain=null",
    "micro-batches": "pretrain.batch_size=1536 mixture.p_cot=0.9 posttrain.prompts=2100 posttrain.group_size=2"
    " posttrain.steps=1 model.layers=1 posttrain.advantage=batch_mean",
    "baseline": f"{BASELINE} continued_pretrain.token_ratio=1.0 pretrain.average_tail=0.5",
    "baseline-rate": f"{BASELINE} continued_pretrain.token_ratio=0.5 continued_pretrain.lr=3e-3"
    " pretrain.optimizer=muon",
}

GRAPH = "task.name=graph_path task.hops=2 task.width=2 task.ends=2"
GYM = (
    "task.name=reasoning_gym task.dataset=chain_sum task.options.min_terms=2 task.options.max_terms=2"
    " task.options.min_digits=1 task.options.max_digits=1 task.question_length=72 task.answer_length=4"
)
TASKS = {
    "modulus": "task.modulus=3",
    "leap": "task.d=6 task.leap=2",
    "sparse": "task.d=6 task.sparse=3 task.subset=1",
    "prompt-lengths": "task.d=5 task.d_min=3",
    "noise": "task.noise=0.2 posttrain=null",
    "noise-left-alone": "task.noise=0.2 task.noise_follows=false posttrain=null",
    "marker-long": "task.marker=long",
    "marker-both": "task.marker=both",
    "backwards": "task.order=right_to_left model.family=mistral",
    "permutation": "task.name=permutation task.degree=3 task.d=3",
    "multiplication": "task.name=multiplication task.n=1 pretrain.steps=30 posttrain.prompts=32 posttrain.group_size=8"
    " posttrain.steps=2",
    "multiplication-sums": "task.name=multiplication task.n=1 task.m=3 task.marker=both",
    "graph-end": f"{GRAPH} task.branching=1 task.question=end",
    "graph-reach": f"{GRAPH} task.branching=2 task.question=reach",
    "gym": f"{GYM} mixture.p_cot=0",
    "gym-chain": f"{GYM} task.chain=tests.golden.gym_chain:expression task.chain_length=12",
    "all-long": "mixture.p_cot=1 posttrain=null",
}

TWICE = "posttrain.steps_per_round=2 posttrain.steps=4 posttrain.lr=3e-2"
ALGORITHMS = {
    "star": "posttrain.algorithm=star posttrain.steps=6",
    "star-restart": "posttrain.algorithm=star posttrain.steps_per_round=2 posttrain.steps=4 posttrain.restart=true",
    "star-kl": f"posttrain.algorithm=star {TWICE} posttrain.kl=0.1",
    "reinforce": f"posttrain.algorithm=reinforce {TWICE}",
    "reinforce-plain": f"posttrain.algorithm=reinforce {TWICE} posttrain.advantage=none",
    "rloo": f"posttrain.algorithm=rloo {TWICE}",
    "grpo": f"posttrain.algorithm=grpo {TWICE}",
    "grpo-kl": f"posttrain.algorithm=grpo {TWICE} posttrain.kl=0.1 posttrain.clip_low=0.05 posttrain.clip_high=0.1",
    "dr_grpo": f"posttrain.algorithm=dr_grpo {TWICE}",
    "dapo": f"posttrain.algorithm=dapo {TWICE}",
    "dapo-dynamic": f"posttrain.algorithm=dapo {TWICE} posttrain.group_size=2 posttrain.dynamic_sampling=true"
    " posttrain.dynamic_sampling_tries=2",
    "gspo": f"posttrain.algorithm=gspo {TWICE}",
    "cispo": f"posttrain.algorithm=cispo {TWICE} posttrain.clip_high=1.1",
    "gpg": f"posttrain.algorithm=gpg {TWICE}",
    "own-objective": f"posttrain.algorithm=rloo {TWICE} posttrain.ratio=token posttrain.clip=none"
    " posttrain.aggregate=token_mean",
    "minibatches": "posttrain.minibatches=2 posttrain.steps_per_round=4 posttrain.steps=8 posttrain.prompts=6",
    "reward-chain": "posttrain.reward=chain posttrain.group_size=8",
    "reward-steps": "posttrain.reward=steps posttrain.group_size=8",
    "length-penalty": f"posttrain.length_penalty=0.3 posttrain.temperature=0.7 {TWICE}",
}

LANGUAGE_MODELS = {
    "language-grpo": "",
    "language-dapo": "posttrain.algorithm=dapo task.template.marker=none",
    "language-adapters": "model.lora.rank=8 pretrain.lr=1e-2 posttrain=null",
}
LANGUAGE_ALGORITHMS = {
    "language-rloo": "posttrain.algorithm=rloo",
    "language-dr_grpo": "posttrain.algorithm=dr_grpo posttrain.kl=0.1",
    "language-star": "posttrain.algorithm=star posttrain.steps_per_round=2 posttrain.group_size=16",
}

UPDATE = (
    "loss", "loss_short", "loss_long", "grad_norm", "lr", "tokens", "reward_mean", "accuracy", "long_share",
    "length_mean", "unfinished_share", "groups_mixed", "kept_share", "kept_reward_mean", "advantage_abs_mean",
    "entropy", "clip_fraction", "logp_error_max", "kl",
)  # fmt: skip
QUANTITIES = {
    "update": UPDATE,
    "preflight": ("accuracy", "long_share", "unfinished_share"),
    "evaluation": (
        "greedy.accuracy", "greedy.length_mean", "greedy.chain_exactness", "greedy.step_accuracy",
        "greedy.digit_accuracy", "sampled.accuracy", "sampled.length_mean", "sampled.step_accuracy",
        "sampled.pass_at_k",
        *(f"decision.{name}_log_odds" for name in ("first", "first_lead", "go_on", "go_on_elsewhere")),
        *(f"exact.{name}" for name in ("accuracy", "long_share", "chain_exactness", "length_mean")),
        "forced_long.length_mean", "long_prefix.probability",
    ),
}  # fmt: skip
"""Of each kind of row in metrics.jsonl the keys that are kept, dotted where they are nested."""

RENAMED: dict[str, str] = {}
"""{a key, a stage or a kind of row as it is recorded: what the run folder calls it now}."""

ROUNDED = {"bfloat16": 2e-2}
"""{case that rounds to few bits: relative tolerance on machines whose arithmetic is another}; there only the updates of
stage 1 are compared, as other rounding soon samples other tokens.
"""


class Case(NamedTuple):
    """A run and what is kept of it."""

    verb: tuple[str, ...]
    """The command, without its arguments."""
    recipe: str
    """The recipe's YAML."""
    overrides: str
    """Dotted overrides, separated by blanks."""
    stages: tuple[str, ...]
    """Those whose numbers are kept."""


RUN = ("run",)
EVERY_STAGE = ("pretrain", "posttrain", "continued_pretrain")
ONLY_RL = ("posttrain",)  # stage 1 is that of gpt2, or of language-grpo
CASES: dict[str, Case] = {
    **{name: Case(RUN, SMALL, text, EVERY_STAGE) for name, text in (MODELS | OPTIMIZERS | TASKS).items()},
    **{name: Case(RUN, SMALL, text, ONLY_RL) for name, text in ALGORITHMS.items()},
    **{name: Case(RUN, LANGUAGE, text, EVERY_STAGE) for name, text in LANGUAGE_MODELS.items()},
    **{name: Case(RUN, LANGUAGE, text, ONLY_RL) for name, text in LANGUAGE_ALGORITHMS.items()},
}


def is_language(case: str) -> bool:
    """Whether a case trains a language model."""
    return CASES[case].recipe == LANGUAGE
