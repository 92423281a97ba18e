"""Records of a data set, from local files or, only if the user allows it, from the Hugging Face hub.

Each record comes with its place (file and line), so that errors can name it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainlift import reading

Record = tuple[str, dict[str, Any]]
"""(place of the record, the record)."""


def read_json_lines(path: Path, form: str) -> Iterator[Record]:
    """The records of a file with one JSON object a line; blank lines are skipped.

    form: the expected content of the file, for messages. ValueError if the file cannot be read, is empty or damaged.
    """
    empty = True
    with _readable(path, form), io.TextIOWrapper(_opened(path, form), encoding="utf-8-sig") as lines:
        # Iterating ends lines at \n alone. str.splitlines would also cut at U+2028, which a GSM8K text contains.
        for number, line in enumerate(lines, start=1):
            if line.strip():
                empty = False
                yield _parsed(f"{path}, line {number}", line, form)
    if empty:
        raise ValueError(f"{path} is empty; expected {form}")


def read_json(path: Path, form: str) -> Record:
    """The record in a JSON file; ValueError if the file cannot be read or is damaged."""
    with _readable(path, form), _opened(path, form) as handle:
        text = handle.read().decode("utf-8-sig")
    return _parsed(str(path), text, form)


def from_hub(hub: str, config: str, split: str) -> Iterator[Record]:
    """The records of a data set on the hub, downloaded unless they are in the local cache.

    ValueError in one line if the package `datasets` is missing or the download fails. Callers make sure that the user
    wants a download.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ValueError("a download needs the package datasets: pip install 'chainlift[llm]'") from error
    try:
        rows: Iterable[Any] = load_dataset(hub, config, split=split)
    except Exception as error:  # no network, offline mode, no such data set: each layer below has errors of its own
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ValueError(
            f"cannot download {hub} ({config}, {split}): {reason}; set task.path to a local copy"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{hub} {config} {split}, row {number}", dict(row)


def no_source(name: str, hub: str, files: str) -> ValueError:
    """The error for a data set with neither a path nor the permission to download it; it names both remedies."""
    return ValueError(
        f"{name}: no data; set task.path to a folder with {files}, or task.download=true to fetch {hub} from the hub"
    )


def texts(place: str, record: dict[str, Any], keys: tuple[str, ...], form: str) -> list[str]:
    """The texts under `keys` in a record; ValueError names the place and a key that is missing or not a text."""
    for key in keys:
        if not isinstance(record.get(key), str):
            fault = f"is {record[key]!r}, not a text" if key in record else "is missing"
            raise ValueError(f"{place}: the key {key!r} {fault}; expected {form}")
        try:
            record[key].encode()
        except UnicodeEncodeError as error:
            half = record[key][error.start].encode("unicode_escape").decode()
            raise ValueError(
                f"{place}: the text under {key!r} has {half}, half of a character; write the whole character"
            ) from error
    return [record[key] for key in keys]


@contextmanager
def error_prefix(place: str) -> Iterator[None]:
    """Put the place before the message of a ValueError raised inside the context."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _parsed(place: str, text: str, form: str) -> Record:
    """The record of a JSON object in a text; ValueError names the place."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:  # not only JSONDecodeError: an integer may have too many digits
        raise ValueError(f"{place}: not valid JSON ({error}); expected {form}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{place}: not a JSON object; expected {form}")
    return place, record


def _opened(path: Path, form: str) -> io.BufferedReader:
    """An open file of a data set; ValueError unless it is a regular file."""
    try:
        return reading.open_regular(path)
    except ValueError as error:
        raise ValueError(f"{error}; expected {form}") from error


@contextmanager
def _readable(path: Path, form: str) -> Iterator[None]:
    """Turn errors of reading a file into ValueErrors of one line."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; expected {form}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text; expected {form}") from error
