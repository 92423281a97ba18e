"""The page is made from the record and tells failures as failures."""

import json
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from chainlift.report.figures import curves, run_figures
from chainlift.report.pages import run_page
from chainlift.report.record import read
from chainlift.report.sentence import headline


def measured(accuracy: float, low: float, high: float, length: float = 1) -> dict[str, Any]:
    return {
        "greedy_accuracy": accuracy,
        "greedy_accuracy_ci95": [low, high],
        "greedy_length_median": length,
        "sequences": 1000,
        "steps": 20,
        "rollouts": 500,
        "algorithm": "grpo",
    }


def summary(**stages: dict[str, Any]) -> dict[str, Any]:
    """Of stages that are called as in the shipped recipes, one after the other."""
    titles = {"pretrain": "next-token prediction", "posttrain": "reinforcement learning"}
    units = {"pretrain": "demonstrations", "posttrain": "sampled responses"}
    starts = {"pretrain": None, "posttrain": "pretrain"}
    about = {
        name: {"title": titles[name], "unit": units[name], "start": starts[name], "baseline_of": None}
        for name in stages
    }
    own = {
        name: {k: v for k, v in one.items() if name != "pretrain" or k != "rollouts"} for name, one in stages.items()
    }
    return {"stages": about, **own}


BEFORE = measured(0.5, 0.48, 0.52)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (measured(0.999, 0.997, 1.0, 50), "lift this to 99.9 %, with a median response of 50 tokens"),
        (measured(0.8, 0.78, 0.82, 50), "raise this only to 80.0 %"),
        (measured(0.51, 0.49, 0.53), "do not change this beyond chance: it is 51.0 %"),
        (measured(0.2, 0.18, 0.22), "lower this to 20.0 %"),
    ],
)
def test_the_headline_tells_what_happened(after: dict[str, Any], told: str) -> None:
    sentence = headline(summary(pretrain=BEFORE, posttrain=after) | {"prompts_seen_share": 0.0}, 1 / 2)
    assert (
        "greedy decoding is right on 50.0 % (a coin flip) of fresh prompts, with a median response of 1 token"
        in sentence
    )
    assert told in sentence


def test_the_headline_of_other_starts() -> None:
    assert "as good as perfect" in headline(summary(pretrain=measured(1.0, 0.99, 1.0, 50)), 1 / 2)
    assert "above a blind guess" in headline(summary(pretrain=measured(0.7, 0.68, 0.72)), 1 / 2)
    assert "a blind guess" in headline(summary(pretrain=measured(0.33, 0.31, 0.36)), 1 / 3)
    assert "not finished" in headline(None, 1 / 2)


def test_the_page_says_what_the_reference_is(finished: Path) -> None:
    record = read(finished)
    assert "reference: no noise, 0.1 log-odds an update at the peak rate, from where theory says" in run_page.render(
        record
    )
    recipe = deepcopy(record.recipe)
    recipe["stages"]["posttrain"]["kl"] = 0.1
    assert "Thin green" not in run_page.render(replace(record, recipe=recipe))


def test_curves_are_the_evaluations_on_record(finished: Path) -> None:
    record = read(finished)
    rows = record.of("posttrain", "evaluation")
    wanted = ("posttrain", "greedy", "accuracy")
    greedy = next(c for c in curves.lift(record) if (c.panel, c.mode, c.quantity) == wanted)
    assert greedy.values == [row["greedy"]["accuracy"] for row in rows]
    assert greedy.low == [row["greedy"]["accuracy_ci95"][0] for row in rows]
    baseline = next(c for c in curves.lift(record) if c.is_baseline)
    assert baseline.sequences[0] == record.of("pretrain", "evaluation")[-1]["sequences"]
    assert curves.theory(record, "pretrain", "sampled", "accuracy") == pytest.approx(0.625)
    assert curves.theory(record, "posttrain", "greedy", "length_median") == 4
    shares = [
        row["share"] for row in curves.lengths_table(record) if (row["stage"], row["mode"]) == ("pretrain", "greedy")
    ]
    assert sum(shares) == pytest.approx(1)


def test_each_figure_is_saved_with_its_numbers(finished: Path) -> None:
    for name in ("lift", "lengths", "signal-posttrain"):
        assert (finished / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (finished / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    header, *lines = (finished / "figures/lift.csv").read_text(encoding="utf-8").splitlines()
    assert header == "panel,curve,quantity,sequences,value,low,high,theory"
    assert len(lines) == len(curves.lift_table(read(finished)))


def test_lines_of_the_figure_are_the_curves(finished: Path) -> None:
    record = read(finished)
    drawn = [np.asarray(line.get_ydata()).tolist() for ax in run_figures.lift(record).axes for line in ax.get_lines()]
    for curve in curves.lift(record):
        assert curve.values in drawn


def test_an_unfinished_run_has_a_page_too(finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "summary.json").unlink()
    metrics = copy / "metrics.jsonl"
    lines = [line for line in metrics.read_text(encoding="utf-8").splitlines() if '"stage": "pretrain"' in line]
    metrics.write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = run_page.write(copy).read_text(encoding="utf-8")
    assert "This run is not finished" in text
    accuracy = json.loads(lines[-1])["greedy"]["accuracy"]
    assert (
        f"after 40 updates of the stage “next-token prediction”: greedy decoding is right on {100 * accuracy:.1f} %"
        in text
    )
    assert 'id="lift"' in text
    assert 'id="signal-posttrain"' not in text


def test_preflight_warnings_are_shown_before_the_first_update(finished: Path, tmp_path: Path) -> None:
    record = read(shutil.copytree(finished, tmp_path / "copy"))
    rows = [row for row in record.rows if row["stage"] == "pretrain" or row["kind"] == "preflight"]
    rows[-1] = {**rows[-1], "warnings": ["no long response among 32 samples"]}
    text = run_page.render(replace(record, rows=rows, summary=None))
    assert "<li>no long response among 32 samples</li>" in text
    assert 'id="signal-posttrain"' not in text


def test_bars_of_the_two_modes_do_not_cover_each_other(finished: Path) -> None:
    patches = run_figures.lengths(read(finished)).axes[0].patches
    bars = sorted((p for p in patches if isinstance(p, Rectangle)), key=lambda bar: bar.get_x())
    assert len(bars) > 2
    for left, right in pairwise(bars):
        assert left.get_x() + left.get_width() <= right.get_x() + 1e-9


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("metrics.jsonl", b"[1]\n", "metrics.jsonl, line 1, is damaged: it must hold keys and values (it holds [1])"),
        (
            "metrics.jsonl",
            b'{"kind": "update"}\n',
            "metrics.jsonl, line 1, is damaged: it lacks stage, step, sequences",
        ),
        ("metrics.jsonl", b"\xff\n", "metrics.jsonl, line 1, is damaged: it is not UTF-8 text"),
        ("rollouts.jsonl", b'{"stage": "pretrain"}\n', "rollouts.jsonl, line 1, is damaged: it lacks kind"),
        ("summary.json", b"[]", "summary.json is damaged: it must hold keys and values (it holds [])"),
        ("recipe.yaml", b"", "recipe.yaml is damaged: it must hold keys and values (it holds None)"),
        ("recipe.yaml", b"name: x\n", "recipe.yaml is damaged: it lacks task, mixture, model, stages"),
    ],
)
def test_well_formed_nonsense_is_named(file: str, content: bytes, told: str, finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / file).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(told)):
        run_page.write(copy)


def test_the_page_needs_no_torch() -> None:
    code = "import sys, chainlift.report.pages.run_page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_text_from_files_is_escaped(finished: Path, tmp_path: Path) -> None:
    record = deepcopy(read(shutil.copytree(finished, tmp_path / "copy")))
    record.recipe["title"] = "<script>alert(1)</script>"
    for response in record.responses:
        response["prompt"] = "</script><b>bold</b>"
    text = run_page.render(record)
    assert "<script>alert(1)" not in text
    assert "<b>bold</b>" not in text


@pytest.mark.parametrize("file", ["metrics.jsonl", "rollouts.jsonl", "summary.json", "recipe.yaml"])
def test_damage_is_named_and_the_old_page_stays(file: str, finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    before = (copy / "report.html").read_bytes()
    with (copy / file).open("a", encoding="utf-8") as handle:
        handle.write('{"half": [\n')
    with pytest.raises(ValueError, match=re.escape(file)):
        run_page.write(copy)
    assert (copy / "report.html").read_bytes() == before
