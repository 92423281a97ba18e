"""The document of results: claims with their verdicts, tables, figures and how they were made; and single runs."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainlift import reading
from chainlift.report import claim_outcome, record
from chainlift.report.about import chance
from chainlift.report.claim_outcome import Outcome
from chainlift.report.documents import document_parts
from chainlift.report.documents.summary_markdown import summary_markdown
from chainlift.report.pages import run_page
from chainlift.report.prompt_words import prompt_words
from chainlift.report.sentence import headline
from chainlift.stages.base_recipe import shipped

QUICK = """    chainlift reproduce --all --quick

The same claims with small runs of the same shape, for a first look on a laptop.

"""


@dataclass(frozen=True)
class _Files:
    """A claim's files."""

    outcome: Outcome
    table: str
    pictures: list[Path]


def write(document: Path, results: Path, names: Sequence[str]) -> list[str]:
    """The names of the claims put into `document`: those of `names` whose results are in `results` or `results`/quick.

    What else it holds stays. Figures of full results are copied into the document's own folder of images beside it.
    ValueError in one line if it cannot be written.
    """
    whole, quick = (_read(folder, names) for folder in (results, results / "quick"))
    with _written(document), record.fitting(results):
        parts = document_parts.read(document)
        folder = _image_folder(document)
        for files in whole:
            name = files.outcome.claim
            parts.rows[name] = _row(files.outcome, linked=True)
            parts.sections[name] = _section(files, images(document))
            for drawn in files.pictures:
                shutil.copyfile(drawn, folder / drawn.name)
        if quick:
            parts.quick = _quick(quick)
        document_parts.write(document, parts, names)
    there = {files.outcome.claim for files in (*whole, *quick)}
    return [name for name in names if name in there]


def write_run(document: Path, run: Path) -> str:
    """The name of the recipe whose run was put into `document`, under the single runs; ValueError if it is not done."""
    found = record.read(run)
    recipe, summary = found.recipe, found.summary
    if summary is None:
        raise ValueError(f"{run} is not finished; the command that began it goes on with it")
    with _written(document), record.fitting(run):
        parts = document_parts.read(document)
        picture = f"run-{recipe['name']}.png"
        drawn = run / "figures" / "lift.png"
        if not drawn.is_file():
            run_page.write(run)
        shutil.copyfile(drawn, _image_folder(document) / picture)
        parts.single[recipe["name"]] = _single(recipe, summary, found.environment, images(document) / picture)
        document_parts.write(document, parts, list(parts.sections))
    return recipe["name"]


def images(document: Path) -> Path:
    """The folder of a document's images, seen from the document: its own, so that it overwrites no other picture."""
    return Path("img") / document.stem


def _image_folder(document: Path) -> Path:
    """That folder, made if need be."""
    folder = document.parent / images(document)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _written(document: Path) -> Iterator[None]:
    """ValueError in one line where a document cannot be written."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"cannot write {document}: {error.strerror}") from error


def _read(folder: Path, names: Sequence[str]) -> list[_Files]:
    """The claims that a folder holds; ValueError in one line names a file that is damaged or of another version."""
    return [_claim(folder, name) for name in names if (folder / f"{name}.json").exists()]


def _claim(folder: Path, name: str) -> _Files:
    outcome = claim_outcome.read(folder / f"{name}.json")
    pictures = [folder / f"{picture.name}.png" for picture in outcome.pictures]
    return _Files(outcome, reading.text(folder / f"{name}.md"), pictures)


def _quick(quick: list[_Files]) -> str:
    """All claims at quick sizes."""
    outcomes = [files.outcome for files in quick]
    rows = "".join(_row(outcome, linked=False) + "\n" for outcome in outcomes)
    text = f"{QUICK}{_circumstances(outcomes)}\n\n{document_parts.COLUMNS}{rows}\n"
    return text + "\n".join(_lines(files, f"{files.outcome.claim}: all") for files in quick)


def _row(outcome: Outcome, *, linked: bool) -> str:
    """A claim's line in the table at the top."""
    name = f"[{outcome.claim}](#{_anchor(_title(outcome))})" if linked else outcome.claim
    minutes = f"{outcome.seconds.all / 60:.0f}"
    cells = (name, outcome.statement, outcome.verdict, seed_range(outcome.seeds), outcome.runs, minutes)
    return "| " + " | ".join(map(str, cells)) + " |"


def _command(recipe: dict[str, Any]) -> str:
    """The command that made a run of a shipped recipe, as far as the run's stages tell."""
    file = shipped().get(recipe["name"])
    stages = {} if file is None else reading.yaml_mapping(file).get("stages", {})
    left_out = [f"{name}=null" for name in stages if name not in recipe["stages"]]
    return " ".join(["chainlift run", recipe["name"], *left_out])


def _single(recipe: dict[str, Any], summary: dict[str, Any], where: dict[str, Any], picture: Path) -> str:
    """One run's part of the document."""
    seconds = sum(summary[stage]["seconds"] for stage in summary["stages"])
    parts = [
        f"### {recipe['name']}: seed {recipe['seed']}",
        recipe["title"],
        f"    {_command(recipe)}",
        f"Run `{summary['run_id']}`, made with {_machine(where)}. It trained for {seconds / 60:.0f} minutes. "
        f"At each point {prompt_words(summary, summary[next(iter(summary['stages']))]['prompts'])}.",
        headline(summary, chance(recipe, summary)),
        f"![{recipe['title']}]({picture.as_posix()})",
        summary_markdown(summary),
    ]
    return "\n\n".join(parts)


def _section(files: _Files, folder: Path) -> str:
    """A claim's part of the document."""
    outcome = files.outcome
    parts = [
        f"## {_title(outcome)}",
        f"{outcome.statement}.",
        f"    chainlift reproduce {outcome.claim} --seeds {seed_range(outcome.seeds)}",
        _circumstances([outcome]),
    ]
    parts += [f"![{outcome.statement}]({(folder / picture.name).as_posix()})" for picture in files.pictures]
    return "\n\n".join([*parts, _lines(files, "All")])


def _lines(files: _Files, title: str) -> str:
    """Every finding, folded."""
    summary = f"{title} {len(files.outcome.findings)} lines"
    return f"<details><summary>{summary}</summary>\n\n{files.table.strip()}\n\n</details>\n"


def _circumstances(outcomes: list[Outcome]) -> str:
    """When, where and with what claims were measured, and how long their runs took."""
    last = outcomes[-1]
    counts = Counter[str]()
    for outcome in outcomes:
        for where in outcome.made_on:
            counts[_machine(where)] += where["runs"]
    made = "; ".join(f"{text} ({count})" if len(counts) > 1 else text for text, count in counts.most_common())
    num_runs = sum(outcome.runs for outcome in outcomes)
    text = f"{num_runs} runs, made with {made}. Judged {last.date} with {_commit(last.judged_on)}."
    if len(outcomes) == 1:
        return f"{text} A run trained for {last.seconds.median:.0f} s (median), at most {last.seconds.most:.0f} s."
    return f"{text} The longest run trained for {max(outcome.seconds.most for outcome in outcomes):.0f} s."


def _machine(where: dict[str, Any]) -> str:
    """A run's environment in words."""
    threads = f"{where['threads']} thread{'s' if where['threads'] > 1 else ''} a run"
    versions = f"chainlift {_commit(where)}, torch {where['packages']['torch']}, Python {where['python']}"
    return f"{versions}, {threads} on {where['device']}: {where['processor']}, {where['cpus']} cores"


def _commit(where: dict[str, Any]) -> str:
    """Version and commit of chainlift, as an environment tells them."""
    if not where["commit"]:
        return f"{where['chainlift']} (commit not on record)"
    changed = " and changes" if where["uncommitted_changes"] else ""
    return f"{where['chainlift']} (commit {where['commit'][:7]}{changed})"


def _title(outcome: Outcome) -> str:
    return f"{outcome.claim}: {outcome.verdict}"


def _anchor(title: str) -> str:
    """The anchor that Markdown viewers give to a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def seed_range(seeds: Sequence[int]) -> str:
    """0-4 for a range, else 0,2,5."""
    is_range = list(seeds) == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 1
    return f"{seeds[0]}-{seeds[-1]}" if is_range else ",".join(map(str, seeds))
