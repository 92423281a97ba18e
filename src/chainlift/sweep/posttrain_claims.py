"""The claims on RL: which algorithms, rewards and temperatures lift, and from how early a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainlift.measure.finding import Finding
from chainlift.stages.recipe import Recipe
from chainlift.sweep.claims import QUICK_STAGE_1, Claim, after, by_seed
from chainlift.sweep.grid import Finished, cross
from chainlift.sweep.over_p import by_quantity, is_share
from chainlift.sweep.posttrain_pictures import REWARDS, SETTING, algorithms_pictures, switch_pictures

TEMPERATURES = (0.75, 1.0, 1.5)
STAR = (
    "posttrain.algorithm=star", "posttrain.prompts=256", "posttrain.updates_per_round=10", "posttrain.minibatches=4",
    "evaluate.every_rounds=1",
)  # fmt: skip
"""STaR fits what it kept of a round in several updates; the others make one update of each round."""
QUICK_ALGORITHMS = ("task.d=12", *QUICK_STAGE_1, "pretrain.steps=280", "posttrain.lr=5e-4", "posttrain.updates=30")
QUICK_TEMPERATURES = (1.0, 1.5)
STEPS = (50, 100, 150, 175, 200, 400)
QUICK_STEPS = (60, 250)
QUICK_SWITCH = (
    "task.d=12", *QUICK_STAGE_1, "pretrain.schedule=constant", "posttrain.lr=5e-4", "posttrain.updates=30",
)  # fmt: skip
LEARNED, NOT_LEARNED = 0.9, 0.1
"""Share of the long responses before RL that are gold: from the one on RL is predicted to make answers right, up to the
other not to."""
HARD = ("star", "end_to_end", 1.5)
"""The setting that the paper is reported to find failing."""
SWITCH = "pretrain.steps"


def algorithms_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `algorithms` over algorithm, reward and temperature."""
    temperatures, fixed = (QUICK_TEMPERATURES, QUICK_ALGORITHMS) if quick else (TEMPERATURES, ())
    grid = {"posttrain.reward": REWARDS, "posttrain.temperature": temperatures}
    return [
        *cross("algorithms", {"posttrain.algorithm": ["grpo", "reinforce"], **grid}, seeds, *fixed),
        *cross("algorithms", grid, seeds, *STAR, *fixed),
    ]


def check_algorithms(finished: list[Finished]) -> list[Finding]:
    """Greedy accuracy and length after RL of each setting: right and long, but for the one that is only measured."""
    d: int = finished[0].recipe.setting("task.d")
    lines: list[tuple[str, Callable[[Finished], float], float | None, float]] = [
        ("greedy accuracy after RL", after("posttrain", "greedy_accuracy"), 1.0, 0.05),
        ("greedy length after RL", after("posttrain", "greedy_length_median"), float(d), 0.0),
        ("sampled long share after RL", after("posttrain", "sampled_long_share"), None, 0.0),
        ("sampled long responses that are gold, after RL", after("posttrain", "sampled_chain_exactness"), None, 0.0),
    ]
    found = []
    for quantity, value, predicted, tolerance in lines:
        for setting, values in by_seed(finished, value, *SETTING).items():
            algorithm, reward, temperature = setting
            known = None if setting == HARD else predicted
            note = "reported to fail" if setting == HARD and predicted is not None else ""
            name = f"{algorithm}, {reward}, temperature {temperature:g}"
            found.append(Finding(quantity, name, values, known, tolerance, note=note, share="length" not in quantity))
    return by_quantity(found)


def switch_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `switch-time` over the length of stage 1."""
    if quick:
        return cross("switch-time", {SWITCH: QUICK_STEPS}, seeds, *QUICK_SWITCH)
    return cross("switch-time", {SWITCH: STEPS}, seeds)


def check_switch(finished: list[Finished]) -> list[Finding]:
    """What RL makes of each checkpoint, predicted from whether its chains are right: right answers, or coin flips.

    Nothing is predicted unless there are checkpoints of both kinds.
    """
    d: int = finished[0].recipe.setting("task.d")
    exact = by_seed(finished, lambda run: run.summary["pretrain"]["sampled_chain_exactness"] or 0.0, SWITCH)
    right = {steps: 1.0 if min(v) >= LEARNED else 0.5 if max(v) <= NOT_LEARNED else None for steps, v in exact.items()}
    if not {0.5, 1.0} <= set(right.values()):
        right = dict.fromkeys(right)
    lines: list[tuple[str, str, str, dict[int, float | None], float]] = [
        ("sampled long share before RL", "pretrain", "sampled_long_share", {}, 0.0),
        ("greedy accuracy before RL", "pretrain", "greedy_accuracy", {}, 0.0),
        ("greedy accuracy after RL", "posttrain", "greedy_accuracy", right, 0.05),
        ("sampled accuracy after RL", "posttrain", "sampled_accuracy", {}, 0.0),
        ("greedy length after RL", "posttrain", "greedy_length_mean", {s: float(d) if r == 1 else None
                                                                      for s, r in right.items()}, 0.5),
        ("sampled length after RL", "posttrain", "sampled_length_mean", {}, 0.0),
    ]  # fmt: skip
    found = [
        Finding(
            "sampled long responses that are gold, before RL",
            f"{steps} updates",
            values,
            x=steps,
            axis="switch",
            share=True,
        )
        for steps, values in exact.items()
    ]
    for quantity, stage, key, predicted, tolerance in lines:
        for steps, values in by_seed(finished, after(stage, key), SWITCH).items():
            told = predicted.get(steps)
            found.append(
                Finding(
                    quantity, f"{steps} updates", values, told, tolerance, x=steps, axis="switch", share=is_share(key)
                )
            )
    return found


CLAIMS = (
    Claim(
        "algorithms",
        "STaR, REINFORCE and GRPO lift with either reward and at each temperature; STaR at a high one with the "
        "end-to-end reward, reported to fail, is only measured",
        algorithms_runs,
        check_algorithms,
        pictures=algorithms_pictures,
    ),
    Claim(
        "switch-time",
        "RL makes answers right from checkpoints at which next-token prediction has learned the chain; from earlier "
        "ones they stay a coin flip, whatever becomes of their length",
        switch_runs,
        check_switch,
        pictures=switch_pictures,
    ),
)
