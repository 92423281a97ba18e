"""A task of one's own, from its definition to RL: python examples/own_task.py

The prompt is d digits from 0 to 4, and the answer is the largest of them. The long form shows the largest one so far,
digit by digit.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

import chainlift as cl
from chainlift.tasks.base import EOS, Verdict, Vocabulary
from chainlift.tasks.exact_match import compare

DIGITS = 5


@cl.task("largest")
class Largest:
    """The largest of d digits."""

    class Settings(cl.Settings):
        """What a recipe may say about the task."""

        name: str
        d: int = 8

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.vocabulary = Vocabulary((*map(str, range(DIGITS)), EOS))
        self.prompt_length = self.long_length = settings.d
        self.short_length = 1
        self.chance = 1 - (1 - 1 / DIGITS) ** settings.d  # that some digit is the largest possible one

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """n prompts, mostly of small digits."""
        uniform = torch.rand(n, self.prompt_length, generator=generator)
        return (DIGITS * uniform**3).long()

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The right responses with their end of sequence."""
        so_far = prompts.cummax(dim=1).values
        return pad(so_far if long else so_far[:, -1:], (0, 1), value=self.vocabulary.eos)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """What is right about responses."""
        return compare(self, prompts, responses)


def main(*changes: str, out: str = "runs") -> cl.Run:
    """The finished run, after printing what came out and two samples."""
    run = cl.run(
        "tiny", "task={name: largest, d: 8}", "pretrain.steps=80", "continued_pretrain=null", *changes, out=out
    )
    for stage in ("pretrain", "posttrain"):
        measured = run.summary[stage]
        print(
            f"{stage:9s}  greedy accuracy {measured['greedy_accuracy']:.3f}, sampled "
            f"{measured['sampled_accuracy']:.3f}, share of long answers {measured['sampled_long_share']:.2f}"
        )
    for response in run.sample(count=2):
        verdict = "right" if response["answer"] else "wrong"
        print(f"{response['prompt']} -> {' '.join(response['response'])}  {verdict}")
    return run


if __name__ == "__main__":
    main()
