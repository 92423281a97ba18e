"""The offline, interactive HTML page of a run, written beside its figures."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from plotly.offline import get_plotlyjs

from chainlift import yaml_text
from chainlift.reading import StrPath
from chainlift.report.about import about, chance, learner
from chainlift.report.figures import interactive, run_pictures, static
from chainlift.report.figures.layout import TEMPLATE
from chainlift.report.names import measured_in
from chainlift.report.prompt_words import prompt_words
from chainlift.report.record import Record, fitting, read
from chainlift.report.sentence import headline, so_far
from chainlift.runs.durable import is_full, write_file
from chainlift.visible import name_of

SHOWN = 4  # responses of each mode after each stage


def write(folder: StrPath) -> Path:
    """Write figures and report.html of a run folder; ValueError if it is not one or a file is damaged."""
    folder = Path(folder)
    record = read(folder)
    page = folder / "report.html"
    try:
        with fitting(folder):
            (folder / "figures").mkdir(exist_ok=True)
            for picture in run_pictures.pictures(record):
                static.write(picture, folder / "figures")
            text = render(record)
        write_file(page, text)
    except OSError as error:
        if is_full(error):
            raise
        raise ValueError(f"cannot write into {folder}: {error.strerror}") from error
    return page


def render(record: Record) -> str:
    """The page as HTML."""
    recipe = record.recipe
    preflight = [row for row in record.rows if row["kind"] == "preflight"]
    first = record.summary[record.stages[0].name] if record.summary else None
    return template("page.html.jinja").render(
        title=recipe.get("title") or recipe["name"],
        run_id=name_of(record.folder.resolve()),
        headline=headline(record.summary, chance(recipe, record.summary)) if record.summary else so_far(record),
        finished=record.summary is not None,
        recipe=recipe,
        p_cot=_share_words(recipe["mixture"].get("p_cot")),
        about=about(recipe),
        rows=table(record.summary) if record.summary else [],
        prompts=prompt_words(record.summary, first["prompts"]) if record.summary and first else None,
        all_stages=record.stages,
        stages=[stage for stage in record.stages if record.of(stage.name, "evaluation")],
        signal_stages=run_pictures.signal_stages(record),
        has_rl=any("algorithm" in stage.settings for stage in record.stages),
        figures={picture.name: interactive.draw(picture) for picture in run_pictures.pictures(record)},
        template=TEMPLATE,
        embed=embed,
        reference=(record.summary or {"theory": {}})["theory"].get("reference"),
        samples=samples(record),
        preflight=preflight[-1] if preflight else None,
        learner=learner(recipe),
        is_text=record.is_text,
        recipe_text=yaml_text.dump(recipe),
        environment_text=json.dumps(record.environment, indent=2),
        drawing=script("drawing.js"),
        plotly=get_plotlyjs(),
    )


def table(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the before/after table: a name, and for each stage its measured value, interval and theory value."""
    rows = []
    stages, theory_by_stage = list(summary["stages"]), summary["theory"]["stages"]
    for key, name, predicted in measured_in(summary[stage] for stage in stages):
        cells = []
        for stage in stages:
            measured = summary[stage]
            theory = theory_by_stage.get(stage)
            cells.append(
                {
                    "stage": summary["stages"][stage]["title"],
                    "is_baseline": summary["stages"][stage]["baseline_of"] is not None,
                    "value": measured[key],
                    "interval": measured.get(f"{key}_ci95"),
                    "theory": None if theory is None else theory.get(predicted),
                }
            )
        rows.append({"name": name, "cells": cells})
    return rows


def _share_words(p_cot: Any) -> str:
    """The share of long demonstrations, constant or a schedule, in words."""
    if not isinstance(p_cot, list):
        return f"{p_cot:g}"
    parts = [f"{value:g} from {share:.0%} of the steps on" for share, value in p_cot]
    return f"({', '.join(parts)})"


def samples(record: Record, modes: tuple[str, ...] = ("greedy", "sampled"), shown: int = SHOWN) -> list[dict[str, Any]]:
    """A few responses at the end of each stage, as tokens with their probabilities."""
    blocks = []
    for stage in record.stages:
        for mode in () if stage.is_baseline else modes:
            responses = record.shown(stage.name, mode, last=True)[:shown]
            if responses:
                title = f"After {stage.title}"
                blocks.append({"title": title, "mode": mode, "responses": [_tokens(r) for r in responses]})
    return blocks


def _tokens(response: dict[str, Any]) -> dict[str, Any]:
    """A response with its tokens, probabilities and verdicts side by side."""
    triples = zip(response["response"], response["probabilities"], response["token_right"], strict=True)
    tokens = [{"text": text, "probability": p, "right": right} for text, p, right in triples]
    return response | {"tokens": tokens}


def embed(value: Any) -> str:
    """JSON that is safe inside a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


@cache
def template(name: str) -> Any:
    """Load a page's template; values are escaped unless the template marks them safe."""
    environment = Environment(
        loader=PackageLoader("chainlift.report.pages", "."),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def script(name: str) -> str:
    """Text of a script beside this file, to embed in a page."""
    return (resources.files("chainlift.report.pages") / name).read_text(encoding="utf-8")
