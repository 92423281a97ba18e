"""What the page says of a task: every option that is set, and nothing that is not."""

import pytest

from chainlift.report.about import about, chance
from chainlift.stages.recipe import load


def told(*overrides: str, source: str = "tiny") -> str:
    return about(load(source, list(overrides)).model_dump(mode="json"))


def test_plain_parity_has_no_options() -> None:
    text = told()
    assert text.startswith(
        "A prompt is 8 digits from 0 to 1; the answer is their sum modulo 2 (the parity of the bits)."
    )
    assert text.endswith("with probability 1/2.")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("task.leap=3", "A chain shows every 3. step only, and the last."),
        ("task.sparse=4", "Only 4 of the 8 positions count"),
        ("task.noise=.1", "wrong with probability 0.1, and the rest builds on it."),
        ("task={name: running_sum, noise: .1, noise_follows: false}", "and the rest does not build on it."),
        ("task.d_min=3", "Prompts have 3 to 8 of them."),
        ("task.order=right_to_left", "Chains begin at the prompt's last position."),
        ("task.marker=both", "A long response opens with >, a short one with =."),
        ("task={name: permutation, degree: 5}", "permutations of 5 things"),
        ("task={name: graph_path, question: reach}", "whether a second node can be reached from it"),
        ("task={name: multiplication, n: 3, m: 2}", "numbers with 3 and 2 digits"),
    ],
)
def test_each_option_is_told(override: str, sentence: str) -> None:
    assert sentence in told(override)


def test_markers_of_multiplication_are_its_own() -> None:
    assert ">" not in told(source="multiplication-2")


def test_chance_comes_from_the_summary_or_for_old_runs_from_the_modulus() -> None:
    recipe = {"task": {"name": "running_sum", "modulus": 5}}
    assert chance(recipe, {"theory": {"chance": 0.0}}) == 0.0
    assert chance(recipe, {"theory": {}}) == 0.2
    assert chance(recipe, None) == 0.2
