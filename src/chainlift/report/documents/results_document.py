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
    """Put the results of claims into `document`; return those of `names` found in `results` or `results`/quick.

    Other parts of the document stay. Figures of full results are copied into the document's image folder. ValueError
    in one line if the document cannot be written.
    """
    whole, quick = (_read(folder, names) for folder in (results, results / "quick"))
    with _written(document), record.fitting(results):
        parts = document_parts.read(document)
        folder = _image_folder(document)
        for files in whole:
            name = files.outcome.claim
            parts.rows[name] = _row(files.outcome, linked=True)
            parts.sections[name] = _section(files, images(document))
            for image in files.pictures:
                shutil.copyfile(image, folder / image.name)
        if quick:
            parts.quick = _quick(quick)
        document_parts.write(document, parts, names)
    written = {files.outcome.claim for files in (*whole, *quick)}
    return [name for name in names if name in written]


def write_run(document: Path, run: Path) -> str:
    """Put a run into `document`, under the single runs, and return its recipe's name; ValueError if unfinished."""
    run_record = record.read(run)
    recipe, summary = run_record.recipe, run_record.summary
    if summary is None:
        raise ValueError(f"{run} is not finished; the command that started it continues it")
    with _written(document), record.fitting(run):
        parts = document_parts.read(document)
        picture = f"run-{recipe['name']}.png"
        figure = run / "figures" / "lift.png"
        if not figure.is_file():
            run_page.write(run)
        shutil.copyfile(figure, _image_folder(document) / picture)
        parts.single[recipe["name"]] = _single(recipe, summary, run_record.environment, images(document) / picture)
        document_parts.write(document, parts, list(parts.sections))
    return recipe["name"]


def images(document: Path) -> Path:
    """Folder of a document's images, relative to the document; each document has its own."""
    return Path("img") / document.stem


def _image_folder(document: Path) -> Path:
    """Create the folder of a document's images if necessary, and return its path."""
    folder = document.parent / images(document)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _written(document: Path) -> Iterator[None]:
    """Raise an OSError of the block as a one-line ValueError: the document cannot be written."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"cannot write {document}: {error.strerror}") from error


def _read(folder: Path, names: Sequence[str]) -> list[_Files]:
    """Read the claims in a folder; ValueError in one line for a damaged file or one from another version."""
    return [_claim(folder, name) for name in names if (folder / f"{name}.json").exists()]


def _claim(folder: Path, name: str) -> _Files:
    outcome = claim_outcome.read(folder / f"{name}.json")
    pictures = [folder / f"{picture.name}.png" for picture in outcome.pictures]
    return _Files(outcome, reading.text(folder / f"{name}.md"), pictures)


def _quick(quick: list[_Files]) -> str:
    """The section of claims at quick sizes."""
    outcomes = [files.outcome for files in quick]
    rows = "".join(_row(outcome, linked=False) + "\n" for outcome in outcomes)
    text = f"{QUICK}{_circumstances(outcomes)}\n\n{document_parts.COLUMNS}{rows}\n"
    return text + "\n".join(_lines(files, f"{files.outcome.claim}: all") for files in quick)


def _row(outcome: Outcome, *, linked: bool) -> str:
    """A claim's row of the table at the top."""
    name = f"[{outcome.claim}](#{_anchor(_title(outcome))})" if linked else outcome.claim
    minutes = f"{outcome.seconds.all / 60:.0f}"
    cells = (name, outcome.statement, outcome.verdict, seed_range(outcome.seeds), outcome.runs, minutes)
    return "| " + " | ".join(map(str, cells)) + " |"


def _command(recipe: dict[str, Any]) -> str:
    """The command that made a run of a shipped recipe, inferred from the run's stages."""
    file = shipped().get(recipe["name"])
    stages = {} if file is None else reading.yaml_mapping(file).get("stages", {})
    left_out = [f"{name}=null" for name in stages if name not in recipe["stages"]]
    return " ".join(["chainlift run", recipe["name"], *left_out])


def _single(recipe: dict[str, Any], summary: dict[str, Any], environment: dict[str, Any], picture: Path) -> str:
    """The section of one run."""
    seconds = sum(summary[stage]["seconds"] for stage in summary["stages"])
    parts = [
        f"### {recipe['name']}: seed {recipe['seed']}",
        recipe["title"],
        f"    {_command(recipe)}",
        f"Run `{summary['run_id']}`, made with {_machine(environment)}. It trained for {seconds / 60:.0f} minutes. "
        f"At each point {prompt_words(summary, summary[next(iter(summary['stages']))]['prompts'])}.",
        headline(summary, chance(recipe, summary)),
        f"![{recipe['title']}]({picture.as_posix()})",
        summary_markdown(summary),
    ]
    return "\n\n".join(parts)


def _section(files: _Files, folder: Path) -> str:
    """The section of one claim."""
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
    """All findings, in a collapsed block."""
    summary = f"{title} {len(files.outcome.findings)} lines"
    return f"<details><summary>{summary}</summary>\n\n{files.table.strip()}\n\n</details>\n"


def _circumstances(outcomes: list[Outcome]) -> str:
    """Sentences about the machines, versions, date and training times of claims."""
    last = outcomes[-1]
    counts = Counter[str]()
    for outcome in outcomes:
        for environment in outcome.made_on:
            counts[_machine(environment)] += environment["runs"]
    machines = "; ".join(f"{text} ({count})" if len(counts) > 1 else text for text, count in counts.most_common())
    num_runs = sum(outcome.runs for outcome in outcomes)
    text = f"{num_runs} runs, made with {machines}. Judged {last.date} with {_commit(last.judged_on)}."
    if len(outcomes) == 1:
        return f"{text} A run trained for {last.seconds.median:.0f} s (median), at most {last.seconds.most:.0f} s."
    return f"{text} The longest run trained for {max(outcome.seconds.most for outcome in outcomes):.0f} s."


def _machine(environment: dict[str, Any]) -> str:
    """A run's environment in words."""
    threads = f"{environment['threads']} thread{'s' if environment['threads'] > 1 else ''} a run"
    versions = (
        f"chainlift {_commit(environment)}, torch {environment['packages']['torch']}, Python {environment['python']}"
    )
    return f"{versions}, {threads} on {environment['device']}: {environment['processor']}, {environment['cpus']} cores"


def _commit(environment: dict[str, Any]) -> str:
    """Version and commit of chainlift, from an environment."""
    if not environment["commit"]:
        return f"{environment['chainlift']} (commit not on record)"
    changed = " and changes" if environment["uncommitted_changes"] else ""
    return f"{environment['chainlift']} (commit {environment['commit'][:7]}{changed})"


def _title(outcome: Outcome) -> str:
    return f"{outcome.claim}: {outcome.verdict}"


def _anchor(title: str) -> str:
    """The anchor that Markdown viewers give to a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def seed_range(seeds: Sequence[int]) -> str:
    """Seeds as text: 0-4 for a range, otherwise 0,2,5."""
    is_range = list(seeds) == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 1
    return f"{seeds[0]}-{seeds[-1]}" if is_range else ",".join(map(str, seeds))
