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
from chainlift.report import document_parts, page, record
from chainlift.report.about import chance
from chainlift.report.prompt_words import prompt_words
from chainlift.report.sentence import headline
from chainlift.report.summary_markdown import summary_markdown
from chainlift.stages.base_recipe import shipped

KEYS = (
    "claim",
    "statement",
    "verdict",
    "seeds",
    "runs",
    "findings",
    "pictures",
    "date",
    "seconds",
    "made_on",
    "judged_on",
)
QUICK = """    chainlift reproduce --all --quick

The same claims with small runs of the same shape, for a first look on a laptop.

"""


@dataclass(frozen=True)
class _Told:
    """A claim's files."""

    content: dict[str, Any]
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
        for told in whole:
            name = told.content["claim"]
            parts.rows[name] = _row(told.content, linked=True)
            parts.sections[name] = _section(told, images(document))
            for drawn in told.pictures:
                shutil.copyfile(drawn, folder / drawn.name)
        if quick:
            parts.quick = _quick(quick)
        document_parts.write(document, parts, names)
    there = {told.content["claim"] for told in (*whole, *quick)}
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
            page.write(run)
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


def _read(folder: Path, names: Sequence[str]) -> list[_Told]:
    """The claims that a folder holds; ValueError in one line names a file that is damaged or of another version."""
    return [_claim(folder, name) for name in names if (folder / f"{name}.json").exists()]


def _claim(folder: Path, name: str) -> _Told:
    file = folder / f"{name}.json"
    try:
        content = reading.json_mapping(file)
        missing = [key for key in KEYS if key not in content]
        table = reading.text(folder / f"{name}.md")
        pictures = [folder / f"{one['name']}.png" for one in content.get("pictures", [])]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{file} is damaged; `chainlift reproduce {name}` writes it again") from error
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}; `chainlift reproduce {name}` writes it again")
    return _Told(content, table, pictures)


def _quick(quick: list[_Told]) -> str:
    """All claims at quick sizes."""
    contents = [told.content for told in quick]
    rows = "".join(_row(one, linked=False) + "\n" for one in contents)
    text = f"{QUICK}{_circumstances(contents)}\n\n{document_parts.COLUMNS}{rows}\n"
    return text + "\n".join(_lines(told, f"{told.content['claim']}: all") for told in quick)


def _row(one: dict[str, Any], *, linked: bool) -> str:
    """A claim's line in the table at the top."""
    name = f"[{one['claim']}](#{_anchor(_title(one))})" if linked else one["claim"]
    minutes = f"{one['seconds']['all'] / 60:.0f}"
    cells = (name, one["statement"], one["verdict"], seed_range(one["seeds"]), one["runs"], minutes)
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


def _section(told: _Told, folder: Path) -> str:
    """A claim's part of the document."""
    one = told.content
    parts = [
        f"## {_title(one)}",
        f"{one['statement']}.",
        f"    chainlift reproduce {one['claim']} --seeds {seed_range(one['seeds'])}",
        _circumstances([one]),
    ]
    parts += [f"![{one['statement']}]({(folder / picture.name).as_posix()})" for picture in told.pictures]
    return "\n\n".join([*parts, _lines(told, "All")])


def _lines(told: _Told, title: str) -> str:
    """Every finding, folded."""
    summary = f"{title} {len(told.content['findings'])} lines"
    return f"<details><summary>{summary}</summary>\n\n{told.table.strip()}\n\n</details>\n"


def _circumstances(contents: list[dict[str, Any]]) -> str:
    """When, where and with what claims were measured, and how long their runs took."""
    last = contents[-1]
    counts = Counter[str]()
    for one in contents:
        for where in one["made_on"]:
            counts[_machine(where)] += where["runs"]
    made = "; ".join(f"{text} ({count})" if len(counts) > 1 else text for text, count in counts.most_common())
    judged = _commit(last["judged_on"])
    told = f"{sum(one['runs'] for one in contents)} runs, made with {made}. Judged {last['date']} with {judged}."
    seconds = [one["seconds"] for one in contents]
    if len(seconds) == 1:
        told += f" A run trained for {seconds[0]['median']:.0f} s (median), at most {seconds[0]['most']:.0f} s."
    else:
        told += f" The longest run trained for {max(one['most'] for one in seconds):.0f} s."
    return told


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


def _title(one: dict[str, Any]) -> str:
    return f"{one['claim']}: {one['verdict']}"


def _anchor(title: str) -> str:
    """The anchor that Markdown viewers give to a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def seed_range(seeds: Sequence[int]) -> str:
    """0-4 for a range, else 0,2,5."""
    is_range = list(seeds) == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 1
    return f"{seeds[0]}-{seeds[-1]}" if is_range else ",".join(map(str, seeds))
