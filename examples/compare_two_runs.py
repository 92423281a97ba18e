"""Two algorithms from one checkpoint, as a table and a figure: python examples/compare_two_runs.py"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import chainlift as cl

COLUMNS = ["posttrain.algorithm", "posttrain.greedy_accuracy", "posttrain.sampled_accuracy", "posttrain.seconds"]


def main(*changes: str, out: str = "runs", algorithms: tuple[str, str] = ("dr_grpo", "star")) -> pd.DataFrame:
    """A row for each algorithm; the figure is written to <out>/compare.png."""
    runs = {
        name: cl.run("tiny", f"posttrain.algorithm={name}", "continued_pretrain=null", *changes, out=out, page=False)
        for name in algorithms
    }

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    accuracy, long_share = figure.subplots(1, 2)
    for name, run in runs.items():
        rows = run.metrics("evaluation", "posttrain")
        for axes, quantity in ((accuracy, "greedy_accuracy"), (long_share, "sampled_long_share")):
            (line,) = axes.plot(rows["sequences"], rows[quantity], marker="o", markersize=3, label=name)
            low, high = rows[f"{quantity}_ci95_low"], rows[f"{quantity}_ci95_high"]
            axes.fill_between(rows["sequences"], low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    accuracy.set(xlabel="sampled responses", ylabel="greedy accuracy")
    long_share.set(xlabel="sampled responses", ylabel="share of long samples")
    accuracy.legend(frameon=False)
    figure.savefig(Path(out) / "compare.png", dpi=160)

    table = cl.runs(out).set_index("run_id")
    return table.loc[[run.folder.name for run in runs.values()], COLUMNS]


if __name__ == "__main__":
    print(main().to_string(index=False))
