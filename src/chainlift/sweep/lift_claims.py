"""The claims on what RL makes of demonstrations that are wrong, rare, or of another task: slips, p_cot down to .01, and
multiplication.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe
from chainlift.sweep.claims import QUICK_STAGE_1, Claim, after, by_seed
from chainlift.sweep.grid import Finished, cross
from chainlift.sweep.over_p import by_quantity, over_p
from chainlift.theory import noisy_chain

NOISE = (0.01, 0.035, 0.067, 0.11)
"""At d = 10 the chains are right with probability .90, .70, .50 and .31."""
REWARDS = ("chain", "end_to_end")
RARE_P = (0, 0.01, 0.02, 0.05, 0.1)
RAREST, LONGER = 0.01, 3200
"""At this p_cot the recipe's 1,600 steps are too few for some seeds to have a chain at all; it is run for more, too."""
DIGITS = (2, 3)
QUICK_NOISE = (0.01, 0.11)
QUICK_NOISY = (
    *QUICK_STAGE_1, "pretrain.steps=280", "evaluate.every=280", "posttrain.prompts=3072", "posttrain.minibatches=4",
)  # fmt: skip
QUICK_RARE_P = (0, 0.1)
QUICK_RARE = (*QUICK_STAGE_1, "pretrain.steps=300", "posttrain.updates=40", "posttrain.lr=5e-4")
QUICK_MULTIPLICATION = (
    "model.layers=2", "pretrain.batch_size=128", "pretrain.muon_lr=1e-2", "pretrain.lr=2e-3", "pretrain.steps=400",
    "evaluate.every=400", "posttrain.prompts=64", "posttrain.updates=40", "posttrain.lr=3e-4",
)  # fmt: skip


def noisy_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `noisy-chain` over noise and both rewards."""
    noise, fixed = (QUICK_NOISE, QUICK_NOISY) if quick else (NOISE, ())
    return cross("noisy-chain", {"task.noise": noise, "posttrain.reward": REWARDS}, seeds, *fixed)


def check_noisy(finished: list[Finished]) -> list[Finding]:
    """Right chains after stage 1 against (1 - e)^d, and the long share after one round of STaR, for either reward."""
    found: list[Finding] = []
    chain = [run for run in finished if _reward(run) == "chain"]
    d, p = finished[0].recipe.setting("task.d"), finished[0].recipe.mixture.last
    for noise, values in by_seed(chain, after("pretrain", "sampled_chain_exactness"), "task.noise").items():
        q = noisy_chain.chain_accuracy(d, noise)
        found.append(_over_noise("sampled chains that are right", noise, values, q, 0.06, ""))
    for noise, values in by_seed(chain, after("pretrain", "sampled_long_share"), "task.noise").items():
        found.append(_over_noise("sampled long share after next-token prediction", noise, values, p, 0.04, ""))
    for reward in REWARDS:
        runs = [run for run in finished if _reward(run) == reward]
        for noise, values in by_seed(runs, after("posttrain", "sampled_long_share"), "task.noise").items():
            share = noisy_chain.star_next_share(p, d, 2, noise, "chain" if reward == "chain" else "end_to_end")
            found.append(_over_noise("sampled long share after a round of STaR", noise, values, share, 0.04, reward))
    for noise, values in by_seed(chain, after("posttrain", "sampled_chain_exactness"), "task.noise").items():
        found.append(_over_noise("right chains after a round, chain reward", noise, values, None, 0, ""))
    return found


def rare_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `rare-long` over p_cot down to 0, and at the rarest with a longer stage 1."""
    if quick:
        return cross("rare-long", {"mixture.p_cot": QUICK_RARE_P}, seeds, *QUICK_RARE)
    longer = cross("rare-long", {"mixture.p_cot": [RAREST]}, seeds, f"pretrain.steps={LONGER}")
    return [*cross("rare-long", {"mixture.p_cot": RARE_P}, seeds), *longer]


def check_rare(finished: list[Finished]) -> list[Finding]:
    """Greedy accuracy before RL, at chance, and after it: 1 where there was a single long demonstration in a hundred,
    chance where there was none. RL can only make more of chains that stage 1 has learned: their exactness is reported.
    """
    d: int = finished[0].recipe.setting("task.d")
    found: list[Finding] = []
    for steps in sorted({run.recipe.setting("pretrain.steps") for run in finished}):
        runs = [run for run in finished if run.recipe.setting("pretrain.steps") == steps]
        line = partial(over_p, runs, series=f"{steps:,} steps")
        found += line("greedy_accuracy", "greedy accuracy after NTP", lambda p: 0.5, 0.05)
        found += line("sampled_long_share", "sampled long share after NTP", lambda p: p, 0.02)
        after_rl = "posttrain"
        found += line("greedy_accuracy", "greedy accuracy after RL", lambda p: 1.0 if p else 0.5, 0.05, stage=after_rl)
        found += line("greedy_length_median", "greedy length after RL", lambda p: d if p else 1, stage=after_rl)
        some = [run for run in runs if run.recipe.mixture.last > 0]
        for stage, when in (("pretrain", "NTP"), ("posttrain", "RL")):
            quantity = f"sampled long responses that are gold, after {when}"
            found += over_p(some, "sampled_chain_exactness", quantity, series=f"{steps:,} steps", stage=stage)
    return by_quantity(found)


def multiplication_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipes multiplication-2 and multiplication-3."""
    if quick:
        return cross("multiplication-2", {}, seeds, *QUICK_MULTIPLICATION)
    return [one for n in DIGITS for one in cross(f"multiplication-{n}", {}, seeds)]


def check_multiplication(finished: list[Finished]) -> list[Finding]:
    """Before RL short and poor, sampled long share p_cot; after RL long and right. On held-out factors."""
    found: list[Finding] = []
    for n in DIGITS:
        runs = [run for run in finished if run.recipe.name == f"multiplication-{n}"]
        if not runs:
            continue
        p = runs[0].recipe.mixture.last
        lines: list[tuple[str, str, str, float | None, float]] = [
            ("greedy accuracy after NTP", "pretrain", "greedy_accuracy", None, 0),
            ("greedy long share after NTP", "pretrain", "greedy_long_share", 0.0, 0.1),
            ("sampled long share after NTP", "pretrain", "sampled_long_share", p, 0.08),
            ("sampled long responses that are gold, after NTP", "pretrain", "sampled_chain_exactness", None, 0),
            ("greedy accuracy after RL", "posttrain", "greedy_accuracy", 1.0, 0.1),
            ("greedy long share after RL", "posttrain", "greedy_long_share", 1.0, 0.05),
        ]
        for quantity, stage, key, predicted, tolerance in lines:
            values = tuple(after(stage, key)(run) for run in runs)
            found.append(Finding(quantity, f"n {n}", values, predicted, tolerance, x=n, axis="digits", share=True))
    return by_quantity(found)


def _over_noise(
    quantity: str, noise: float, values: tuple[float, ...], predicted: float | None, tolerance: float, series: str
) -> Finding:
    setting = f"{series} noise {noise:g}".strip()
    return Finding(quantity, setting, values, predicted, tolerance, x=noise, axis="noise", series=series, share=True)


def _reward(run: Finished) -> str:
    return run.recipe.setting("posttrain.reward")


CLAIMS = (
    Claim(
        "multiplication",
        "Multiplication of n digits: short and poor after next-token prediction, long and right after RL",
        multiplication_runs,
        check_multiplication,
    ),
    Claim(
        "noisy-chain",
        "Chains with slips: a round of STaR makes long answers more frequent iff they earn their reward more often "
        "than short ones, with the chain reward iff more than half are right",
        noisy_runs,
        check_noisy,
    ),
    Claim(
        "rare-long",
        "One long demonstration in a hundred is enough for RL to lift; without any it cannot",
        rare_runs,
        check_rare,
    ),
)
