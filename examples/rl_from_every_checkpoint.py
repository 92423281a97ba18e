"""From which checkpoint of next-token prediction can RL begin? python examples/rl_from_every_checkpoint.py

Next-token prediction keeps a checkpoint every 40 steps, and is trained once: all runs that agree on it share it. RL
then begins with each of the checkpoints.
"""

import pandas as pd

import chainlift as cl


def main(*changes: str, out: str = "runs", every: int = 40) -> pd.DataFrame:
    """A row for each start: the share of long samples there, and what RL made of it."""
    common = [f"pretrain.keep={{every: {every}}}", "continued_pretrain=null", "evaluate.prompts=512", *changes]
    first = cl.run("tiny", *common, "posttrain=null", out=out, page=False)
    rows = []
    for start in first.checkpoints:
        run = cl.run("tiny", *common, f"posttrain.start={start}", out=out, page=False)
        before, after = (run.metrics("evaluation", "posttrain").iloc[row] for row in (0, -1))
        rows.append(
            {
                "start": start,
                "long share before RL": before["sampled_long_share"],
                "greedy accuracy before RL": before["greedy_accuracy"],
                "greedy accuracy after RL": after["greedy_accuracy"],
                "greedy length after RL": after["greedy_length_median"],
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    print(main().to_string(index=False))
