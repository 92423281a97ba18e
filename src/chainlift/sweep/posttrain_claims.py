"""The claims on RL: which algorithms, rewards and temperatures lift, from how early a checkpoint, and what changes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from chainlift.measure.finding import Finding
from chainlift.recipe import Recipe
from chainlift.report.picture import Line, Lines, Map, Picture
from chainlift.stages.before_after import BeforeAfter, before_after
from chainlift.sweep.claims import Claim, after, by_seed
from chainlift.sweep.grid import Finished, cross
from chainlift.sweep.over_p import by_quantity, is_share
from chainlift.sweep.parity_claims import QUICK_MODEL, lifts_runs
from chainlift.theory.groups import pass_at_k
from chainlift.theory.reweighting import mode_kl

ALGORITHMS = ("star", "reinforce", "grpo")
REWARDS = ("end_to_end", "chain")
TEMPERATURES = (0.75, 1.0, 1.5)
STAR = (
    "posttrain.algorithm=star", "posttrain.prompts=256", "posttrain.updates_per_round=10", "posttrain.minibatches=4",
    "evaluate.posttrain_every=1",
)  # fmt: skip
"""STaR fits what it kept of a round in several updates; the others make one update of each round."""
QUICK_ALGORITHMS = ("task.d=8", *QUICK_MODEL, "pretrain.steps=600", "posttrain.lr=5e-4")
QUICK_TEMPERATURES = (1.0, 1.5)
STEPS = (50, 100, 150, 175, 200, 400)
QUICK_STEPS = (25, 50, 100, 200, 400)
QUICK_SWITCH = ("task.d=10", *QUICK_MODEL, "posttrain.lr=5e-4")
LEARNED, NOT_LEARNED = 0.9, 0.1
"""Share of the long responses before RL that are gold: from the one on RL is predicted to make answers right, up to the
other not to."""
HARD = ("star", "end_to_end", 1.5)
"""The setting that the paper is reported to find failing."""
SWITCH = "pretrain.steps"
SETTING = ("posttrain.algorithm", "posttrain.reward", "posttrain.temperature")


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
    d: int = getattr(finished[0].recipe.task, "d")  # noqa: B009 (a task's settings are typed elsewhere)
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


def algorithms_pictures(finished: list[Finished]) -> list[Picture]:
    """(c) algorithms and rewards against temperature, and the courses of greedy accuracy."""
    seeds = tuple(sorted({run.recipe.seed for run in finished}))
    d: int = getattr(finished[0].recipe.task, "d")  # noqa: B009
    maps = [
        _setting_map(finished, key, unit, (low, top))
        for key, unit, low, top in (
            ("greedy_accuracy", "greedy accuracy", 0.5, 1.0),
            ("greedy_length_median", "greedy length (tokens)", 0.0, float(d)),
            ("sampled_chain_exactness", "sampled long responses that are gold", 0.0, 1.0),
        )
    ]
    temperatures = sorted({_setting(run)[2] for run in finished})
    courses = []
    for reward in REWARDS:
        for algorithm in ALGORITHMS:
            lines = tuple(_course(finished, f"temperature {t:g}", (algorithm, reward, t)) for t in temperatures)
            told = f"{algorithm}, reward {reward}", "RL updates", "greedy accuracy"
            courses.append(Lines(*told, lines, joined=True, share=True, y_range=(0.4, 1.02)))
    return [
        Picture("algorithms-grid", "Algorithms, rewards and temperatures from one checkpoint", seeds, tuple(maps)),
        Picture("algorithms-courses", "Greedy accuracy during RL", seeds, tuple(courses)),
    ]


def _setting_map(finished: list[Finished], key: str, unit: str, colours: tuple[float, float]) -> Map:
    """After RL: algorithm and reward in rows, temperature in columns."""
    values = by_seed(finished, after("posttrain", key), *SETTING)
    temperatures = sorted({temperature for _, _, temperature in values})
    rows = [(algorithm, reward) for algorithm in ALGORITHMS for reward in REWARDS]
    cells = [[values[(*row, temperature)] for temperature in temperatures] for row in rows]
    num_seeds = len(cells[0][0])
    return Map(
        title=unit,
        row_label="",
        column_label="sampling temperature",
        rows=tuple(f"{algorithm}, {reward}" for algorithm, reward in rows),
        columns=tuple(f"{temperature:g}" for temperature in temperatures),
        values=tuple(tuple(tuple(cell[seed] for cell in row) for row in cells) for seed in range(num_seeds)),
        unit=unit,
        range=colours,
        written=True,
    )


def _course(finished: list[Finished], name: str, setting: tuple[str, str, float]) -> Line:
    """Greedy accuracy over the updates of one setting's runs."""
    own = sorted((run for run in finished if _setting(run) == setting), key=lambda run: run.recipe.seed)
    rows = [run.evaluations("posttrain") for run in own]
    x = tuple(float(row["step"]) for row in rows[0])
    return Line(name, x, tuple(tuple(row["greedy"]["accuracy"] for row in one) for one in rows))


def _setting(run: Finished) -> tuple[str, str, float]:
    settings = run.recipe.posttrain
    assert settings is not None
    return settings.algorithm, settings.reward, settings.temperature


def switch_runs(seeds: Sequence[int], quick: bool = False) -> list[Recipe]:
    """The recipe `switch-time` over the length of stage 1."""
    if quick:
        return cross("switch-time", {SWITCH: QUICK_STEPS}, seeds, *QUICK_SWITCH)
    return cross("switch-time", {SWITCH: STEPS}, seeds)


def check_switch(finished: list[Finished]) -> list[Finding]:
    """What RL makes of each checkpoint, predicted from whether its chains are right: mere length, or accuracy."""
    d: int = getattr(finished[0].recipe.task, "d")  # noqa: B009
    exact = by_seed(finished, lambda run: run.summary["pretrain"]["sampled_chain_exactness"] or 0.0, SWITCH)
    right = {steps: 1.0 if min(v) >= LEARNED else 0.5 if max(v) <= NOT_LEARNED else None for steps, v in exact.items()}
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


def switch_pictures(finished: list[Finished]) -> list[Picture]:
    """(e) greedy accuracy and length, by the update at which RL began and the updates of RL since."""
    d: int = getattr(finished[0].recipe.task, "d")  # noqa: B009
    seeds = tuple(sorted({run.recipe.seed for run in finished}))
    at = {(run.recipe.pretrain.steps, run.recipe.seed): run.evaluations("posttrain") for run in finished}
    switches = sorted({steps for steps, _ in at}, reverse=True)
    columns = tuple(str(row["step"]) for row in at[switches[0], seeds[0]])
    panels = []
    for mode, key, unit, top in (
        ("greedy", "accuracy", "greedy accuracy", 1.0),
        ("greedy", "length_mean", "mean greedy length (tokens)", float(d)),
        ("sampled", "length_mean", "mean sampled length (tokens)", float(d)),
    ):
        values = tuple(
            tuple(tuple(float(row[mode][key]) for row in at[switch, seed]) for switch in switches) for seed in seeds
        )
        names = tuple(map(str, switches))
        low = 0.5 if key == "accuracy" else 0.0
        label = "updates of NTP before RL"
        panels.append(Map(unit, label, "updates of RL", names, columns, values, unit, (low, top)))
    return [Picture("switch-map", "RL from early and late checkpoints", seeds, tuple(panels))]


def check_reweighting(finished: list[Finished]) -> list[Finding]:
    """Where RL moved the policy, in nats, and pass@k on either side of it; the base's against its closed form."""
    p = finished[0].recipe.mixture.p_cot
    found = [_compared(run.folder) for run in finished]
    first, second = mode_kl(p, 2)
    rest = tuple(sum(one.kl[i] * one.reached[i] for i in range(2, len(one.kl))) for one in found)
    peak = tuple(float(max(range(len(one.kl)), key=lambda i, kl=one.kl: kl[i]) + 1) for one in found)
    lines = [
        Finding("KL at the first token (nats)", "", tuple(one.kl[0] for one in found), first, 0.2),
        Finding("KL at the decision to go on (nats)", "", tuple(one.kl[1] for one in found), second, 0.25),
        Finding("KL at all later tokens together (nats)", "", rest, 0.0, 0.25),
        Finding("token at which KL is largest", "", peak, 2.0, 0.0),
    ]
    gold = after("pretrain", "sampled_chain_exactness"), after("posttrain", "sampled_chain_exactness")
    for name, value in zip(("before RL", "after RL"), gold, strict=True):
        lines.append(
            Finding("sampled long responses that are gold", name, tuple(map(value, finished)), 1.0, 0.05, share=True)
        )
    for k in found[0].before:
        values = tuple(one.before[k] for one in found)
        predicted = pass_at_k(p, k, 2)
        lines.append(
            Finding(
                "pass@k", f"before RL, k {k}", values, predicted, 0.05, x=k, axis="k", series="before RL", share=True
            )
        )
    for k in found[0].after:
        values = tuple(one.after[k] for one in found)
        lines.append(
            Finding("pass@k", f"after RL, k {k}", values, 1.0, 0.02, x=k, axis="k", series="after RL", share=True)
        )
    return lines


def reweighting_pictures(finished: list[Finished]) -> list[Picture]:
    """(g) KL at each position, and pass@k before and after RL."""
    seeds, p = tuple(run.recipe.seed for run in finished), finished[0].recipe.mixture.p_cot
    found = [_compared(run.folder) for run in finished]
    positions = tuple(float(i + 1) for i in range(len(found[0].kl)))
    first, second = mode_kl(p, 2)
    predicted = Line("predicted", positions, ((first, second, *(0.0,) * (len(positions) - 2)),), predicted=True)
    measured = Line("measured", positions, tuple(tuple(one.kl) for one in found))
    kl = Lines("KL(after || before) by position", "output token", "nats", (predicted, measured))
    ks = tuple(map(float, found[0].before))
    lines = (
        Line("before RL, predicted", ks, (tuple(pass_at_k(p, int(k), 2) for k in ks),), predicted=True),
        Line("before RL", ks, tuple(tuple(one.before.values()) for one in found)),
        Line("after RL", ks, tuple(tuple(one.after.values()) for one in found)),
    )
    rates = Lines("pass@k before and after RL", "k", "pass@k", lines, log_x=True, share=True, y_range=(0.45, 1.02))
    return [Picture("kl-and-pass-at-k", "RL changes the mode, not the skill", seeds, (kl, rates))]


@functools.lru_cache(maxsize=64)
def _compared(folder: Path) -> BeforeAfter:
    return before_after(folder)


CLAIMS = (
    Claim(
        "algorithms",
        "STaR, REINFORCE and GRPO lift with either reward and at each temperature, but STaR at a high one with the "
        "end-to-end reward",
        algorithms_runs,
        check_algorithms,
        pictures=algorithms_pictures,
    ),
    Claim(
        "switch-time",
        "RL that begins before next-token prediction has learned the chain makes answers long, not right",
        switch_runs,
        check_switch,
        pictures=switch_pictures,
    ),
    Claim(
        "reweighting",
        "RL changes the mode, not the skill: its KL to the base sits at the first token and the decision to go on, and "
        "the base's pass@k reaches what RL makes the first answer",
        lifts_runs,
        check_reweighting,
        seeds=(0, 1, 2, 3, 4),
        pictures=reweighting_pictures,
    ),
)
