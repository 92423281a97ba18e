"""Graph paths: every valid walk is right, and nothing else is."""

import itertools

import pytest
import torch

from chainlift.seeding import stream
from chainlift.tasks.graph_path import GraphPath, GraphPathSettings


def make(**settings: object) -> GraphPath:
    return GraphPath(GraphPathSettings(**settings))  # pyright: ignore[reportArgumentType]


def edges_of(task: GraphPath, prompt: list[int]) -> set[tuple[int, int]]:
    flat = prompt[: 2 * task.num_edges]
    return set(zip(flat[::2], flat[1::2], strict=True))


@pytest.mark.parametrize("question", ["end", "reach"])
def test_exactly_the_valid_walks_are_chains(question: str) -> None:
    """All responses of full length over the nodes of a small graph, against a walk done edge by edge."""
    task = make(hops=2, width=2, branching=1, question=question)
    nodes = range(task.num_nodes)
    for prompt in task.prompts(6, stream(0, "x")):
        tokens = prompt.tolist()
        edges, start = edges_of(task, tokens), tokens[2 * task.num_edges]
        words = [(task.num_nodes,), (task.num_nodes + 1,)] if question == "reach" else [()]
        responses = [(*walk, *word) for walk in itertools.product(nodes, repeat=2) for word in words]
        padded = torch.tensor([(*response, task.vocabulary.eos) for response in responses])
        verdict = task.verify(prompt.expand(len(padded), -1), padded)
        for row, (first, second, *word) in enumerate(responses):
            walk = (start, first) in edges and (first, second) in edges
            told = not word or word[0] == (task.num_nodes if second == tokens[-1] else task.num_nodes + 1)
            assert bool(verdict.chain_correct[row]) == (walk and told)


def test_demonstrations_take_every_path_alike() -> None:
    """4 paths of one graph, 4,000 walks: each count within 6 standard deviations (a false alarm in 10^8)."""
    task = make(hops=3, width=2, branching=2)
    prompt = task.prompts(1, stream(0, "x"))
    walks = task.demonstrate(prompt.expand(4000, -1), stream(0, "walks"), long=True)
    _, counts = walks.unique(dim=0, return_counts=True)
    assert len(counts) == 4
    assert (counts - 1000).abs().max() < 6 * (4000 * 0.25 * 0.75) ** 0.5


def test_either_answer_is_as_likely_and_all_labels_occur() -> None:
    """2,000 prompts: shares within 6 standard deviations of one half (a false alarm in 10^8)."""
    task = make(question="reach")
    prompts = task.prompts(2000, stream(0, "x"))
    yes = (task.gold(prompts, long=False)[:, 0] == task.num_nodes).double().mean()
    assert abs(float(yes) - 0.5) < 6 * (0.25 / 2000) ** 0.5
    assert prompts.unique().tolist() == list(range(task.num_nodes))


def test_the_end_is_a_node_that_no_edge_leaves() -> None:
    task = make(hops=4, width=3, branching=2, ends=3)
    for prompt, answer in zip(p := task.prompts(20, stream(0, "x")), task.gold(p, long=False)[:, 0], strict=True):
        edges = edges_of(task, prompt.tolist())
        assert len(edges) == task.num_edges
        assert int(answer) not in {source for source, _ in edges}
        assert len({node for edge in edges for node in edge} - {source for source, _ in edges}) == 3
