"""Figures of the claim on algorithms: maps over the settings, and curves of accuracy during RL."""

from __future__ import annotations

from chainlift.claims import Finished, by_seed, setting_of, summary_value
from chainlift.report.figures.picture import Line, Lines, Map, Picture

ALGORITHMS = ("star", "reinforce", "grpo")
REWARDS = ("end_to_end", "chain")
SETTING = ("posttrain.algorithm", "posttrain.reward", "posttrain.temperature")


def pictures(finished: list[Finished]) -> list[Picture]:
    """(c) Maps of algorithms and rewards against temperature, and curves of greedy accuracy during RL."""
    seeds = tuple(sorted({run.recipe.seed for run in finished}))
    d: int = finished[0].recipe.setting("task.d")
    maps = [
        _setting_map(finished, key, unit, (low, top))
        for key, unit, low, top in (
            ("greedy_accuracy", "greedy accuracy", 0.5, 1.0),
            ("greedy_length_median", "greedy length (tokens)", 0.0, float(d)),
            ("sampled_chain_exactness", "sampled long responses that are gold", 0.0, 1.0),
        )
    ]
    temperatures = sorted({setting_of(run.recipe, SETTING)[2] for run in finished})
    panels = []
    for reward in REWARDS:
        for algorithm in ALGORITHMS:
            lines = tuple(_curve(finished, f"temperature {t:g}", (algorithm, reward, t)) for t in temperatures)
            labels = f"{algorithm}, reward {reward}", "RL updates", "greedy accuracy"
            panels.append(Lines(*labels, lines, form="curves", share=True, y_range=(0.4, 1.02)))
    return [
        Picture("algorithms-grid", "Algorithms, rewards and temperatures from one checkpoint", seeds, tuple(maps)),
        Picture("algorithms-courses", "Greedy accuracy during RL", seeds, tuple(panels)),
    ]


def _setting_map(finished: list[Finished], key: str, unit: str, color_range: tuple[float, float]) -> Map:
    """A map of a measurement after RL: algorithm and reward in rows, temperature in columns."""
    values = by_seed(finished, summary_value("posttrain", key), *SETTING)
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
        range=color_range,
        written=True,
    )


def _curve(finished: list[Finished], name: str, setting: tuple[str, str, float]) -> Line:
    """The greedy accuracy of one setting's runs over the updates."""
    runs = sorted(
        (run for run in finished if setting_of(run.recipe, SETTING) == setting), key=lambda run: run.recipe.seed
    )
    rows = [run.evaluations("posttrain") for run in runs]
    x = tuple(float(row["step"]) for row in rows[0])
    return Line(name, x, tuple(tuple(row["greedy"]["accuracy"] for row in seed) for seed in rows))
