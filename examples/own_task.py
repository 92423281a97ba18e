"""A task of one's own, from its definition to RL: python examples/own_task.py

The prompt is n pairs of bits, and the answer is the inner product x_1 y_1 + ... + x_n y_n modulo 2. The long form shows
it pair by pair, which is easy to learn; the answer alone is not.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

import chainlift as cl
from chainlift.tasks.base import EOS, Verdict, Vocabulary
from chainlift.tasks.exact_match import compare


@cl.task("inner_product")
class InnerProduct:
    """The inner product of two binary vectors."""

    class Settings(cl.Settings):
        """What a recipe may say about the task."""

        name: str
        n: int = 6

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.vocabulary = Vocabulary(("0", "1", EOS))
        self.prompt_length, self.short_length, self.long_length = 2 * settings.n, 1, settings.n
        self.chance = 0.5 + 0.5 ** (settings.n + 1)  # 0 is the likelier answer

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """n prompts (n, 2 pairs) of random bits."""
        return torch.randint(2, (n, self.prompt_length), generator=generator)

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The right responses with their end of sequence."""
        so_far = (prompts[:, ::2] * prompts[:, 1::2]).cumsum(dim=1) % 2
        return pad(so_far if long else so_far[:, -1:], (0, 1), value=self.vocabulary.eos)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """What is right about responses."""
        return compare(self, prompts, responses)


def main(*changes: str, out: str = "runs") -> cl.Run:
    """The finished run, after printing what came out and two samples."""
    run = cl.run("tiny", "task={name: inner_product}", "continued_pretrain=null", *changes, out=out, page=False)
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
