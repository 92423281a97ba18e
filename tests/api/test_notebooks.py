"""The notebooks: stored without outputs, and every cell runs, in order, in a fresh namespace."""

import json
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[2] / "notebooks"
FILES = sorted(FOLDER.glob("*.ipynb"))

pytestmark = pytest.mark.usefixtures("own_pieces")


def cells(name: str) -> list[str]:
    """The code cells of a notebook."""
    content = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def execute(name: str) -> dict[str, Any]:
    """What a notebook's cells define."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with matplotlib.rc_context({"backend": "Agg"}):
        for number, text in enumerate(cells(name)):
            exec(compile(text, f"{name}, cell {number}", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_notebook_is_stored_without_outputs(file: Path) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert content["cells"][0]["cell_type"] == "markdown"
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["execution_count"], cell["outputs"]) == (None, [])


def test_there_are_three() -> None:
    assert [file.stem for file in FILES] == ["first_experiment", "mechanism", "paper_figure"]


@pytest.mark.slow
def test_first_experiment(here: Path) -> None:
    found = execute("first_experiment")
    assert found["run"].summary["pretrain"]["greedy_accuracy"] < 0.65
    assert found["run"].summary["posttrain"]["greedy_accuracy"] > 0.9
    assert found["star"].summary["posttrain"]["algorithm"] == "star"
    assert found["paid"].recipe["stages"]["posttrain"]["reward"] == "brief"
    assert len(list((here / "runs" / "stages").glob("pretrain-*"))) == 1


@pytest.mark.slow
def test_mechanism(here: Path) -> None:
    found = execute("mechanism")
    assert found["before"][1:-1].min() > 0.3  # each token but the first, which is a coin's toss between two forms
    assert found["after"][1] - found["before"][1] > 0.3, "RL has not moved the decision to go on"
    assert isinstance(found["figure"], Figure)
    sums = found["weights"].sum(dim=-1)
    assert float((sums - 1).abs().max()) < 1e-4, "attention weights of a position do not add up to 1"
    assert float(found["needed"].amax(dim=(1, 2)).median()) > 0.3


@pytest.mark.slow
def test_paper_figure(here: Path) -> None:
    found = execute("paper_figure")
    table = found["table"]
    assert len(table) == 9
    below, above = (table[table["mixture.p_cot"] == share] for share in (0.15, 0.5))
    assert (below["pretrain.greedy_length_median"] == 1).all()
    assert (above["pretrain.greedy_length_median"] == 6).all()
    assert (here / "threshold.pdf").stat().st_size > 5000
