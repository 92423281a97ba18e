"""`chainlift theory` as users and scripts see it: fast, without torch, one line for bad input, a figure to look at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chainlift.theory import closed_forms, star
from tests.conftest import chainlift


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")


def theory(*arguments: str | Path, draws: bool = False) -> subprocess.CompletedProcess[str]:
    return chainlift("theory", *arguments, draws=draws)


def told(*arguments: str) -> dict:
    done = theory(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_table_for_scripts() -> None:
    found = told("--modulus", "5", "--p-cot", ".1")
    assert found["threshold"] == pytest.approx(1 / 6)
    assert found["greedy"] == "short"
    assert found["sampled_accuracy"] == pytest.approx(0.28)
    assert found["sampled_long_share"] == pytest.approx(0.1)
    assert found["star_next_share"] == pytest.approx(0.5 / 1.4)
    assert found["star_rounds_to_flip"] == 1
    assert found["star_long_shares"] == pytest.approx([star.star_share_after(0.1, n, 5) for n in range(11)])
    assert found["reference"]["algorithm"] == "grpo"
    assert len(found["reference"]["long_share"]) == 61


def test_every_option_reaches_the_formulas() -> None:
    arguments = "--modulus 3 --p-cot .2 --temperature 1.5 --chain-accuracy .8 --reward chain --algorithm star --marker"
    found = told(*arguments.split(), "--digits", "7", "--group-size", "4")
    long = closed_forms.sampled_long_share(0.2, 3, 1.5, marker=True)
    assert found["threshold"] == 0.5
    assert found["sampled_long_share"] == pytest.approx(long)
    assert found["star_next_share"] == pytest.approx(star.star_next_share(long, 3, q=0.8, reward="chain"))
    assert found["greedy_length_median"] == 2
    assert found["rl"]["greedy_length_median"] == 8
    assert found["setting"]["group_size"] == 4
    assert found["reference"] is None
    longer = told("--algorithm", "rloo", "--updates", "7", "--step", "0.5")
    assert longer["reference"]["step"] == 0.5
    assert len(longer["reference"]["long_share"]) == 8


def test_the_ends_are_valid_json_too() -> None:
    for share in ("0", "1"):
        found = told("--p-cot", share)
        assert "NaN" not in json.dumps(found)
        assert found["sampled_long_share"] == float(share)
    assert told("--p-cot", "1", "--chain-accuracy", "0", "--reward", "chain")["star_next_share"] is None


def test_the_table_for_people_tells_of_flips_and_of_none() -> None:
    lines = theory().stdout
    assert "greedy answers go long for larger shares only" in lines
    assert "0.3333" in lines
    assert "stated convention" in lines
    assert "never" in theory("--p-cot", "0").stdout
    rare = theory("--p-cot", ".01").stdout.splitlines()
    rounds = {name: next(line for line in rare if name in line).split("│")[2] for name in ("to flip", "to 99 %")}
    assert int(rounds["to flip"]) == star.star_rounds_to_flip(0.01, 2)
    assert int(rounds["to 99 %"]) == star.star_rounds_to_share(0.01, 0.99, 2)
    assert "nothing is kept" in theory("--p-cot", "1", "--chain-accuracy", "0", "--reward", "chain").stdout


@pytest.mark.parametrize(("ending", "first"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("html", b"<!do")])
def test_the_figure_is_drawn(ending: str, first: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"theory.{ending}"
    done = theory("--modulus", "17", "--plot", file, draws=True)
    assert done.returncode == 0, done.stderr
    assert file.read_bytes()[:4] == first
    assert str(file) in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--modulus", "1"], "modulus is 1; allowed: 2 to 1000000"),
        (["--modulus", "9" * 401], "'--modulus': Input should be less than or equal to 10000000"),
        (["--digits", "9" * 401], "'--digits': Input should be less than or equal to 10000000"),
        (["--temperature", "1e-310"], "temperature is 1e-310; allowed: 1e-06 to 1e+09"),
        (["--p-cot", "1.5"], "p_cot is 1.5; allowed: 0 to 1"),
        (["--p-cot", "nan"], "'--p-cot': nan is not a finite number"),
        (["--temperature", "0"], "temperature is 0.0; allowed: 1e-06 to 1e+09"),
        (["--chain-accuracy", "2"], "chain accuracy q is 2.0; allowed: 0 to 1"),
        (["--reward", "process"], "reward is 'process'; there are predictions for chain, end_to_end"),
        (["--algorithm", "ppo"], "algorithm 'ppo' is not known; known: cispo"),
        (["--digits", "1"], "number of digits d is 1; allowed: 2 to 1000000"),
        (["--group-size", "1"], "group_size is 1; allowed: 2"),
        (["--algorithm", "star", "--group-size", "0"], "group_size is 0; allowed: 1"),
        (["--updates", "0"], "updates is 0"),
        (["--step", "-1"], "step is -1.0"),
        (["--plot", "theory.gif"], "must end in .png, .pdf or .html"),
        (["--plot", "/nowhere/theory.png"], "cannot draw into /nowhere/theory.png"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], named: str) -> None:
    done = theory(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert named in done.stderr
    assert done.stdout == ""


def test_the_answer_needs_no_torch_and_no_drawing_library() -> None:
    code = "import sys, chainlift.cli as c\nsys.argv = ['chainlift', 'theory', '--json']\n"
    code += "try: c.main()\nexcept SystemExit: pass"
    code += "\nprint(sorted({'torch', 'matplotlib', 'plotly'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[0])["greedy"] == "short"
    assert done.stdout.splitlines()[1] == "[]"
