"""RL with a next-token loss beside it: python examples/mixed_loss.py

`posttrain.ntp_weight` adds the loss on fresh demonstrations to the policy loss. It holds the model near the mixture, of
which only a quarter is long, while the reward pulls towards long answers: a larger weight means fewer of them.
"""

from collections.abc import Sequence

import pandas as pd

import chainlift as cl


def main(*changes: str, out: str = "runs", weights: Sequence[float] = (0, 0.03, 0.3)) -> pd.DataFrame:
    """A row for each weight: what RL ends with."""
    rows = []
    for weight in weights:
        run = cl.run(
            "tiny",
            f"posttrain.ntp_weight={weight}",
            "continued_pretrain=null",
            "evaluate.prompts=512",
            *changes,
            out=out,
            page=False,
        )
        measured = run.summary["posttrain"]
        updates = run.metrics("update", "posttrain")
        rows.append(
            {
                "ntp_weight": weight,
                "greedy accuracy": measured["greedy_accuracy"],
                "sampled accuracy": measured["sampled_accuracy"],
                "share of long answers": measured["sampled_long_share"],
                "next-token loss": updates["ntp_loss"].iloc[-1] if weight else None,
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    print(main().to_string(index=False))
