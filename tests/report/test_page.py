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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle

from chainlift.report.figures import run_pictures, static
from chainlift.report.figures.picture import Line, Lines, Picture
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
    theory = {"stages": {"posttrain": {"greedy_accuracy": 1.0}}}
    return {"stages": about, "theory": theory, **own}


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


def test_the_headline_blames_nothing_where_theory_has_no_limit() -> None:
    finished = summary(pretrain=BEFORE, posttrain=measured(0.8, 0.78, 0.82, 50))
    for stages in ({}, {"posttrain": {"greedy_accuracy": None}}):
        assert "raise this to 80.0 %" in headline(finished | {"theory": {"stages": stages}}, 0.0)


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
    bare = deepcopy(record.summary)
    assert bare is not None
    bare["theory"]["reference"] = None
    assert "Thin green" not in run_page.render(replace(record, summary=bare))


def lines(picture: Picture, panel: str, quantity: str) -> dict[str, Line]:
    """{name: line} of a run's figure."""
    panels = [one for one in picture.panels if isinstance(one, Lines)]
    return {line.name: line for one in panels if (one.title, one.y_label) == (panel, quantity) for line in one.lines}


def test_curves_are_the_evaluations_on_record(finished: Path) -> None:
    record = read(finished)
    rows, lift = record.of("posttrain", "evaluation"), run_pictures.lift(record)
    rl, ntp = "Reinforcement learning", "Next-token prediction"
    greedy = lines(lift, rl, "accuracy")["greedy"]
    assert greedy.values == (tuple(row["greedy"]["accuracy"] for row in rows),)
    assert greedy.limits == tuple(tuple(row["greedy"]["accuracy_ci95"]) for row in rows)
    baseline = lines(lift, ntp, "accuracy")["baseline, greedy"]
    assert baseline.x[0] == record.of("pretrain", "evaluation")[-1]["sequences"]
    assert lines(lift, ntp, "accuracy")["sampled, predicted"].values[0][0] == pytest.approx(0.625)
    assert lines(lift, rl, "length (median, tokens)")["greedy, predicted"].values == ((4, 4),)
    shares = run_pictures.lengths(record).panels[0].lines[0]
    assert sum(shares.values[0]) == pytest.approx(1)


def test_the_reference_of_the_summary_is_drawn_in_the_panels_of_rl_only(finished: Path) -> None:
    record = read(finished)
    assert record.summary is not None
    reference, lift = record.summary["theory"]["reference"], run_pictures.lift(record)
    name = f"sampled, {reference['name']}"
    share = lines(lift, "Reinforcement learning", "share of long responses")[name]
    assert share.values == (tuple(reference["sampled_long_share"]),)
    assert share.x == tuple(reference["sequences"])
    assert [sum(line.kind == "reference" for line in panel.lines) for panel in lift.panels] == [0, 2, 0, 0, 0, 1]
    figure = static.draw(lift)
    drawn = [[line for line in ax.get_lines() if line.get_label() == "reference without noise"] for ax in figure.axes]
    assert [len(lines) for lines in drawn] == [0, 2, 0, 0, 0, 1]
    FigureCanvasAgg(figure).draw()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1


def test_each_figure_is_saved_with_its_numbers(finished: Path) -> None:
    for name in ("lift", "lengths", "signal-posttrain"):
        assert (finished / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (finished / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    header, *rows = (finished / "figures/lift.csv").read_text(encoding="utf-8").splitlines()
    assert header == "panel,quantity,line,kind,seed,x,y,low,high"
    assert len(rows) == len(run_pictures.lift(read(finished)).table())


def test_lines_of_the_figure_are_the_curves(finished: Path) -> None:
    lift = run_pictures.lift(read(finished))
    drawn = [np.asarray(line.get_ydata()).tolist() for ax in static.draw(lift).axes for line in ax.get_lines()]
    for panel in lift.panels:
        assert all(list(line.values[0]) in drawn for line in panel.lines)


def test_the_signal_of_rl_is_what_its_updates_recorded(finished: Path) -> None:
    record = read(finished)
    rows, (groups, samples, *others) = record.of("posttrain", "update"), run_pictures.signal(record, "posttrain").panels
    shares = {line.name: line.values[0] for line in (*groups.lines, *samples.lines)}
    assert shares["mixed"] == tuple(row["groups_mixed"] for row in rows)
    assert shares["with an advantage"] == tuple(row["kept_share"] for row in rows)
    of_groups = (shares[name] for name in ("all right", "mixed", "all wrong"))
    assert [sum(column) for column in zip(*of_groups, strict=True)] == pytest.approx([1] * len(rows))
    assert {panel.title: panel.lines[0].values[0] for panel in others}["entropy (nats a token)"] == tuple(
        row["entropy"] for row in rows
    )


def test_an_unfinished_run_has_a_page_too(finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "summary.json").unlink()
    metrics = copy / "metrics.jsonl"
    lines = [line for line in metrics.read_text(encoding="utf-8").splitlines() if '"stage": "pretrain"' in line]
    metrics.write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = run_page.write(copy).read_text(encoding="utf-8")
    assert "This run is not finished" in text
    assert "Thin green" not in text
    assert not [one for panel in run_pictures.lift(read(copy)).panels for one in panel.lines if one.kind == "reference"]
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
    patches = static.draw(run_pictures.lengths(read(finished))).axes[0].patches
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
