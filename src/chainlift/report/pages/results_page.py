"""The offline results page of a folder: claims with interactive figures, a table of runs, a view of each run."""

from __future__ import annotations

from pathlib import Path

from plotly.offline import get_plotlyjs

from chainlift.reading import StrPath
from chainlift.report.figures.layout import TEMPLATE
from chainlift.report.pages import results_data, run_page
from chainlift.report.pages.results_data import ClaimView, RunView
from chainlift.report.pages.run_page import embed, script, template
from chainlift.runs.durable import is_full, write_file
from chainlift.visible import name_of

SCRIPTS = ("drawing.js", "results.js")


def write_any(path: StrPath) -> Path:
    """Write the page of a path: report.html of a run folder, index.html of a folder with run folders or claims."""
    path = Path(path)
    return run_page.write(path) if (path / "recipe.yaml").is_file() else write(path)


def write(folder: StrPath) -> Path:
    """Write index.html of a folder of runs; ValueError if it holds none or cannot be written."""
    folder = Path(folder)
    runs = [results_data.run(run_folder) for run_folder in results_data.run_folders(folder)]
    claims = results_data.claims(folder)
    if not runs and not claims:
        raise ValueError(
            f"{folder} is not a run folder and holds none: give a run folder, or the folder that `chainlift run` "
            "writes into (--out, by default: runs)"
        )
    index = folder / "index.html"
    try:
        write_file(index, render(folder, claims, runs))
    except OSError as error:
        if is_full(error):
            raise
        raise ValueError(f"cannot write into {folder}: {error.strerror}") from error
    return index


def render(folder: Path, claims: list[ClaimView], runs: list[RunView]) -> str:
    """The page as HTML."""
    shown = [run for run in runs if not run.is_shared]
    return template("results.html.jinja").render(
        folder=name_of(folder.resolve()),
        claims=claims,
        runs=runs,
        num_shown=len(shown),
        num_shared=len(runs) - len(shown),
        recipes=sorted({run.row["recipe"] for run in runs if run.row}),
        statuses=sorted({run.status for run in runs}),
        template=TEMPLATE,
        embed=embed,
        scripts="\n".join(map(script, SCRIPTS)),
        plotly=get_plotlyjs(),
    )
