"""A learner that is blind by what it may look at, to enumerate what the closed forms claim.

Before <eos> or a value it sees only a part of the prompt that says nothing of the whole sum; its conditional
distributions are weighted counts over the demonstrations, and nothing else is told to it. Its responses are then
enumerated token by token. With `marker` every demonstration opens with a token of its form.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass

SIZES = [(2, 2), (2, 3), (3, 2), (3, 3), (4, 2), (3, 4), (2, 5)]  # (d, K)
SHARES = [0.0, 0.05, 0.19, 0.3, 0.4, 0.8, 1.0]
TEMPERATURES = [0.3, 0.75, 1.0, 1.5, 6.0]
EOS, LONG, SHORT = -1, -2, -3

Prompt = tuple[int, ...]
Response = tuple[int, ...]
Demonstrations = dict[tuple[Prompt, Response], float]


def prompts(d: int, K: int) -> list[Prompt]:
    return list(itertools.product(range(K), repeat=d))


def chain(x: Prompt, K: int, marker: bool = False) -> Response:
    return (*([LONG] if marker else []), *(sum(x[: i + 1]) % K for i in range(len(x))), EOS)


def short(answer: int, marker: bool = False) -> Response:
    return (*([SHORT] if marker else []), answer, EOS)


def mixture(d: int, K: int, p: float, marker: bool = False) -> Demonstrations:
    found: Demonstrations = defaultdict(float)
    for x in prompts(d, K):
        found[x, chain(x, K, marker)] += p / K**d
        found[x, short(sum(x) % K, marker)] += (1 - p) / K**d
    return {key: weight for key, weight in found.items() if weight > 0}


def normalised(weights: dict) -> dict:
    total = sum(weights.values())
    return {key: weight / total for key, weight in weights.items()}


def right(x: Prompt, y: Response, K: int) -> bool:
    return y[-2] == sum(x) % K


def is_long(y: Response) -> bool:
    return len([token for token in y if token >= 0]) > 1


def long_share(demonstrations: Demonstrations) -> float:
    return sum(weight for (_, y), weight in demonstrations.items() if is_long(y))


@dataclass
class BlindLearner:
    """Conditional frequencies given a view of the past: of stopping, and of each next token where it does not stop."""

    stop: dict
    value: dict

    @classmethod
    def fit(cls, demonstrations: Demonstrations) -> BlindLearner:
        stop, value = defaultdict(lambda: defaultdict(float)), defaultdict(lambda: defaultdict(float))
        for (x, y), weight in demonstrations.items():
            for i, token in enumerate(y):
                stop[cls.stop_view(x, y, i)][token == EOS] += weight
                if token != EOS:
                    value[cls.value_view(x, y, i)][token] += weight
        return cls({v: normalised(c) for v, c in stop.items()}, {v: normalised(c) for v, c in value.items()})

    @staticmethod
    def stop_view(x: Prompt, y: Response, i: int) -> tuple:
        if i and y[0] < 0:
            return (i, y[0])
        return (i, x[0], y[0]) if i == 1 else (i,)

    @staticmethod
    def value_view(x: Prompt, y: Response, i: int) -> tuple:
        marked = bool(i) and y[0] < 0
        if i == marked:  # all digits but one, so still blind
            return (i, y[:i], x[:-1])
        return (i, y[i - 1], x[i - marked])

    def next_token(self, x: Prompt, y: Response, temperature: float = 1.0) -> dict[int, float]:
        stop = self.stop[self.stop_view(x, y, len(y))].get(True, 0.0)
        tokens = {EOS: stop}
        if stop < 1:
            for token, probability in self.value[self.value_view(x, y, len(y))].items():
                tokens[token] = (1 - stop) * probability
        return normalised({t: probability ** (1 / temperature) for t, probability in tokens.items() if probability > 0})

    def responses(self, x: Prompt, temperature: float = 1.0) -> dict[Response, float]:
        finished: dict[Response, float] = {}
        started: dict[Response, float] = {(): 1.0}
        while started:
            y, weight = started.popitem()
            for token, probability in self.next_token(x, y, temperature).items():
                (finished if token == EOS else started)[(*y, token)] = weight * probability
        return finished

    def greedy(self, x: Prompt) -> Response:
        y: Response = ()
        while not y or y[-1] != EOS:
            tokens = self.next_token(x, y)
            y = (*y, max(tokens, key=lambda token: tokens[token]))
        return y


def kept_by_star(learner: BlindLearner, d: int, K: int, t: float = 1.0) -> Demonstrations:
    kept = {(x, y): w for x in prompts(d, K) for y, w in learner.responses(x, t).items() if right(x, y, K)}
    return normalised({key: w for key, w in kept.items() if w > 0})
