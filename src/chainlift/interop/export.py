"""Export a checkpoint as a folder for transformers: the model without the trainer's state, and a card.

The folder gets a fixed list of files, whatever else lies beside the checkpoint: a small engine's model is read, checked
and written anew; for a language model the weights and `LANGUAGE_FILES` are copied. Links are never followed.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from chainlift import reading
from chainlift.interop import model_card
from chainlift.interop.new_folder import new_folder
from chainlift.models import checksums
from chainlift.models.hub import model_folder, weight_files
from chainlift.reading import StrPath
from chainlift.runs import stage_views
from chainlift.runs.store import RunFolder
from chainlift.stages import inspect
from chainlift.visible import name_of

CARD = "README.md"
LANGUAGE_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
"""Files that transformers writes for a model and its tokenizer, without the weights."""


def export(target: StrPath, folder: StrPath, *, trust: bool = False) -> None:
    """Write a checkpoint's model, with a card, into a new or empty folder that transformers opens.

    target: a checkpoint folder or a run folder, of the small engine or of a language model. trust: import the code that
    the checkpoint names. ValueError if the checkpoint is missing, is damaged, holds links, or has no class in
    transformers.
    """
    target, folder = Path(target), Path(folder)
    source = inspect.newest(target)
    _check_is_inside(source, target)
    candidates = (target, source.parent.parent)
    run = next((folder for folder in candidates if (folder / "recipe.yaml").is_file()), None)
    content = {} if run is None else RunFolder(run).recipe()
    summary = RunFolder(run).summary() if run is not None and (run / "summary.json").is_file() else None
    if stage_views.by_trl(content):
        files = _language_files(source)
        text = model_card.card(name_of(folder), name_of(source), content, summary, None)
        with new_folder(folder):
            for file in files:
                _copy(file, folder / file.name)
            (folder / CARD).write_text(text, encoding="utf-8")
        return
    for file in (*weight_files.files(source), source / "config.json"):
        _check_is_file(file)
    model, task = model_folder.load(source, trust=trust)
    if not model.in_transformers:
        raise ValueError(f"{source} holds a {model.settings.family} model, for which transformers has no class")
    text = model_card.card(name_of(folder), name_of(source), content, summary, task)
    with new_folder(folder):
        model_folder.save(model, task, folder)
        (folder / CARD).write_text(text, encoding="utf-8")


def _language_files(source: Path) -> list[Path]:
    """The files of a language model to export; ValueError if one is damaged or not an ordinary file."""
    checksums.check(source)
    weights = weight_files.files(source)
    index = source / weight_files.INDEX
    others = [index, *(source / name for name in LANGUAGE_FILES)]
    files = [*weights, *(file for file in others if os.path.lexists(file))]
    for file in files:
        _check_is_file(file)
    if weight_files.count(weights) == 0:
        raise ValueError(f"{weights[0]} is damaged: it holds no weights")
    for file in files:
        if file.suffix == ".json":
            reading.json_mapping(file, foreign=True)
    return files


def _check_is_inside(source: Path, target: Path) -> None:
    """ValueError if the checkpoint is a link that leads out of the target."""
    if not source.resolve().is_relative_to(target.resolve()):
        raise ValueError(f"{source} is a link that leads out of {target}; export follows no links")


def _check_is_file(file: Path) -> None:
    """ValueError if a path is a link or otherwise not an ordinary file."""
    mode = file.lstat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "not an ordinary file"
        raise ValueError(f"{file} is {kind}; export follows no links: put the file itself there")


def _copy(source: Path, target: Path) -> None:
    """Copy an ordinary file; the system refuses a file that has become a link since it was checked."""
    handle = os.open(source, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as reader, target.open("xb") as writer:
        if not stat.S_ISREG(os.fstat(reader.fileno()).st_mode):
            raise ValueError(f"{source} is not an ordinary file")
        shutil.copyfileobj(reader, writer)
