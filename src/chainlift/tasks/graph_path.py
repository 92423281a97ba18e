"""Where the paths from a node of a graph end. Any walk to that end is a valid chain, so chains are not unique.

The graph has `ends` components. Each component has `hops` layers of `width` nodes and a last layer of a single node,
its end. Every node has edges to `branching` nodes of the next layer, and every node of the last full layer has one to
the end. So every walk from the first layer arrives at its component's end after `hops` steps. Prompt: the edges in
random order, two tokens each, with node labels drawn anew for each prompt, then a start node in a first layer.

    question end      long: v_1 .. v_hops <eos>, a walk from the start          short: v_hops <eos>
    question reach    the prompt also names an end, half of the time the start's; long: a walk, then `yes` if it arrived
                      at the named end, else `no`; short: yes or no alone

Ends are easy to recognize, because no edge leaves them; which end a start leads to is not. A blind guess is right with
probability 1 / ends (question end) or 1/2 (question reach).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import pad

from chainlift.settings import Settings
from chainlift.tasks.base import EOS, Verdict, Vocabulary, response_lengths
from chainlift.tasks.registry import TASKS, TaskKind

MAX_NODES = 400  # the verifier builds an adjacency matrix for each prompt


class GraphPathSettings(Settings):
    """Settings of graph_path: the size of the graphs and the question."""

    name: Literal["graph_path"] = "graph_path"
    hops: int = Field(default=3, ge=2, le=64)
    """Steps of every walk."""
    width: int = Field(default=3, ge=1, le=64)
    """Nodes in a layer."""
    branching: int = Field(default=2, ge=1, le=64)
    """Edges that leave each node."""
    ends: int = Field(default=2, ge=2, le=64)
    """Number of components; each has one end."""
    question: Literal["end", "reach"] = "end"
    """end: which end the start leads to; reach: whether it leads to the end that the prompt names."""

    @property
    def nodes(self) -> int:
        """Number of nodes of a graph."""
        return self.ends * (self.hops * self.width + 1)

    @model_validator(mode="after")
    def _fits(self) -> GraphPathSettings:
        if self.branching > self.width:
            raise ValueError(f"branching {self.branching} must not exceed width {self.width}, the nodes of a layer")
        if self.nodes > MAX_NODES:
            raise ValueError(f"a graph of {self.nodes} nodes is too large; allowed: {MAX_NODES}")
        return self


class GraphPath:
    """The task graph_path; the module's docstring describes its two questions."""

    def __init__(self, settings: GraphPathSettings) -> None:
        self.settings = settings
        self.num_nodes = settings.nodes
        self.reach = settings.question == "reach"
        words = ("yes", "no") if self.reach else ()
        self.vocabulary = Vocabulary((*map(str, range(self.num_nodes)), *words, EOS))
        inner = (settings.hops - 1) * settings.width * settings.branching
        self.num_edges = settings.ends * (inner + settings.width)
        self.prompt_length = 2 * self.num_edges + 1 + self.reach
        self.short_length = 1
        self.long_length = settings.hops + self.reach
        self.chance = 1 / 2 if self.reach else 1 / settings.ends

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw prompts (n, prompt_length): independent graphs, starts and, for the question reach, named ends."""
        sizes = self.settings
        component_size = sizes.hops * sizes.width + 1
        columns = []
        for first in range(0, self.num_nodes, component_size):
            for layer in range(sizes.hops - 1):
                for node in range(first + layer * sizes.width, first + (layer + 1) * sizes.width):
                    chosen = torch.rand(n, sizes.width, generator=generator).argsort(dim=1)[:, : sizes.branching]
                    targets = chosen + first + (layer + 1) * sizes.width
                    columns.append(torch.stack([torch.full_like(targets, node), targets], dim=2))
            last = torch.arange(first + component_size - 1 - sizes.width, first + component_size - 1)
            pairs = torch.stack([last, torch.full_like(last, first + component_size - 1)], dim=1)
            columns.append(pairs.expand(n, -1, -1))
        edges = torch.cat(columns, dim=1)
        order = torch.rand(n, self.num_edges, generator=generator).argsort(dim=1)
        edges = edges.gather(1, order[:, :, None].expand(-1, -1, 2))
        labels = torch.rand(n, self.num_nodes, generator=generator).argsort(dim=1)
        start_component = torch.randint(sizes.ends, (n,), generator=generator)
        start = start_component * component_size + torch.randint(sizes.width, (n,), generator=generator)
        nodes = [edges.flatten(1), start[:, None]]  # before they are labeled
        if self.reach:
            offset = torch.randint(1, sizes.ends, (n,), generator=generator)
            offset = offset * (torch.rand(n, generator=generator) < 0.5)
            nodes.append((((start_component + offset) % sizes.ends + 1) * component_size - 1)[:, None])
        return labels.gather(1, torch.cat(nodes, dim=1))

    def prompt_counts(self) -> tuple[tuple[float, int], ...]:
        """One group of ordered edges with a start; for the question reach two, one for each answer.

        Targets of edges, their order, labels and a start are drawn uniformly. Renaming the nodes of a layer, or the
        components, gives the same prompt from other draws. Every prompt comes from equally many draws.
        """
        sizes, factorial = self.settings, math.factorial
        inner = (sizes.hops - 1) * sizes.width * sizes.ends
        draws = math.comb(sizes.width, sizes.branching) ** inner * factorial(self.num_edges) * factorial(self.num_nodes)
        renamed = factorial(sizes.width) ** (sizes.hops * sizes.ends) * factorial(sizes.ends)
        count = draws * sizes.ends * sizes.width // renamed
        return ((0.5, count), (0.5, count * (sizes.ends - 1))) if self.reach else ((1.0, count),)

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The walk that takes the smallest label at each step, or the answer alone, and EOS."""
        score = torch.arange(self.num_nodes, 0, -1, device=prompts.device).float()
        return self._responses(prompts, [score] * self.settings.hops, long=long)

    def demonstrate(self, prompts: Tensor, generator: torch.Generator, *, long: bool) -> Tensor:
        """Draw a walk whose steps are uniform over the outgoing edges, or give the answer alone, and EOS."""
        shape = (len(prompts), self.num_nodes)
        scores = [torch.rand(shape, generator=generator).to(prompts.device) + 1 for _ in range(self.settings.hops)]
        return self._responses(prompts, scores, long=long)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """The exact verdict; every walk along edges of the prompt that reaches the end is a right chain."""
        hops, eos = self.settings.hops, self.vocabulary.eos
        length, finished = response_lengths(responses, eos)
        last = responses.gather(1, (length - 1).clamp(min=0)[:, None])[:, 0]
        answer = finished & (length > 0) & (last == self.gold(prompts, long=False)[:, 0])
        long = length > self.short_length

        width = min(responses.shape[1], self.long_length)
        is_step = (torch.arange(width, device=responses.device) < length[:, None]) & long[:, None]
        is_node = responses[:, :width] < self.num_nodes
        nodes = responses[:, :width].where(is_node, 0)
        before = torch.cat([self._start(prompts)[:, None], nodes[:, :-1]], dim=1)
        came_from_node = pad(is_node[:, :-1], (1, 0), value=True)
        rows = torch.arange(len(prompts), device=prompts.device)[:, None]
        follows = self._edges(prompts)[rows, before, nodes] & is_node & came_from_node
        if self.reach and width > hops:
            verdict = self._yes_or_no(nodes[:, hops - 1], prompts)
            follows[:, hops] = (responses[:, hops] == verdict) & is_node[:, hops - 1]
        steps_right = follows & is_step
        exact = finished & (length == self.long_length) & (steps_right.sum(dim=1) == self.long_length)
        return Verdict(
            answer_correct=answer,
            chain_correct=torch.where(long, exact, answer),
            finished=finished,
            long=long,
            length=length,
            steps=is_step.sum(dim=1),
            steps_right=steps_right.sum(dim=1),
        )

    def _responses(self, prompts: Tensor, scores: list[Tensor], *, long: bool) -> Tensor:
        """Responses whose walks go, at each step, to the neighbor of the highest score ((N, nodes) or (nodes,))."""
        edges = self._edges(prompts)
        rows = torch.arange(len(prompts), device=prompts.device)
        node, walk = self._start(prompts), []
        for score in scores:
            node = (edges[rows, node] * score).argmax(dim=1)
            walk.append(node)
        if self.reach:
            walk.append(self._yes_or_no(node, prompts))
        body = torch.stack(walk if long else walk[-1:], dim=1)
        return pad(body, (0, 1), value=self.vocabulary.eos)

    def _edges(self, prompts: Tensor) -> Tensor:
        """Adjacency matrices (N, nodes, nodes) bool, indexed [from, to]."""
        pairs = prompts[:, : 2 * self.num_edges].view(len(prompts), self.num_edges, 2)
        flat = torch.zeros(len(prompts), self.num_nodes**2, dtype=torch.bool, device=prompts.device)
        flat.scatter_(1, pairs[:, :, 0] * self.num_nodes + pairs[:, :, 1], True)
        return flat.view(-1, self.num_nodes, self.num_nodes)

    def _start(self, prompts: Tensor) -> Tensor:
        """Start nodes (N,)."""
        return prompts[:, 2 * self.num_edges]

    def _yes_or_no(self, end: Tensor, prompts: Tensor) -> Tensor:
        """Tokens (N,) `yes` or `no`: whether `end` (N,) is the end that the prompt names."""
        return torch.where(end == prompts[:, -1], self.num_nodes, self.num_nodes + 1)


TASKS.register("graph_path", TaskKind(GraphPathSettings, GraphPath), shipped=True)
