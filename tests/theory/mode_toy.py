"""The task with x_1 = 0 as a model of two logits: what the theory's mode policies are held against, by autograd."""

import math

import torch
from torch import Tensor

from chainlift.theory import closed_forms
from chainlift.theory.mode_policy import ModePolicy, Setting


class Toy:
    """Response by response: the K short answers, the long one right, the long one wrong."""

    def __init__(self, setting: Setting) -> None:
        self.setting, K = setting, setting.modulus
        self.answers = [*range(K), "right", "wrong"]
        short, long = 2 + setting.marker, setting.d + 1 + setting.marker
        self.num_actions = torch.tensor([short] * K + [long] * 2)
        self.mask = torch.arange(long) < self.num_actions[:, None]
        self.earns = closed_forms.long_reward(K, q=setting.q, reward=setting.reward)

    def logp(self, logits: Tensor) -> Tensor:
        """(K + 2, longest) log-probabilities of each response's tokens."""
        K, t = self.setting.modulus, self.setting.temperature
        on, stop = torch.log_softmax(torch.stack([logits[1], torch.zeros(())]) / t, 0)
        rows = []
        if self.setting.marker:
            rows = [[stop, torch.tensor(-math.log(K))]] * K + [[on]] * 2
        else:
            others = [torch.zeros(())] * (K - 1)
            first = torch.log_softmax(torch.stack([logits[0] + math.log(K - 1), *others]) / t, 0)
            rows = [[first[0], stop], *[[first[v]] for v in range(1, K)], *[[first[0], on]] * 2]
        width = self.mask.shape[1]
        return torch.stack([torch.stack([*row, *[torch.zeros(())] * (width - len(row))]) for row in rows])

    def chances(self, logits: Tensor) -> Tensor:
        """(K + 2,) probabilities; the long response earns its reward with `earns`."""
        likely = self.logp(logits).sum(1).exp()
        return likely * torch.tensor([1.0] * self.setting.modulus + [self.earns, 1 - self.earns])

    def rewards(self, total: int) -> Tensor:
        """(K + 2,) rewards on a prompt with that sum."""
        return torch.tensor([float(answer == total or answer == "right") for answer in self.answers])


def tensor(policy: ModePolicy) -> Tensor:
    """The two logits (2,), with a gradient; an infinite first one (marker) takes no part."""
    return torch.tensor([policy.first if math.isfinite(policy.first) else 0.0, policy.go_on], requires_grad=True)
