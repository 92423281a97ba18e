"""Reading files that may be damaged, by a user, a crash or someone who means harm.

Read are regular files only (a pipe would be waited for without end), up to a size, in UTF-8, with numbers that are
finite and nesting that has a bound. What is wrong is a ValueError of one line with the file, and the key or the line.
"""

from __future__ import annotations

import functools
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import is_dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from chainlift import yaml_text
from chainlift.visible import shown, visible

LARGEST = 64 * 2**20  # bytes of a file that is read as one
LARGEST_YAML = 2**20
LARGEST_ROW = 64 * 2**20  # bytes of a line of a .jsonl file, of which there may be any number
DEPTH = 64  # of nesting in JSON
FOREIGN_DIGITS = 40  # of an integer in another program's JSON
Kind = TypeVar("Kind")
StrPath = str | os.PathLike[str]


def opened(path: Path) -> BufferedReader:
    """A regular file, open for reading; ValueError for anything else, and for one that is missing or refused."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: to open a device may already do something
            raise ValueError(f"{visible(str(path))} is damaged: it is no regular file")
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise ValueError(f"{visible(str(path))} is damaged: it is no regular file")
        return os.fdopen(number, "rb")
    except FileNotFoundError as error:
        raise ValueError(f"{visible(str(path))} is missing") from error
    except OSError as error:
        raise ValueError(f"cannot read {visible(str(path))}: {error.strerror}") from error


def content(path: Path, *, largest: int = LARGEST) -> bytes:
    """All bytes of a file; ValueError if there are more than `largest`."""
    with opened(path) as handle:
        try:
            found = handle.read(largest + 1)
        except OSError as error:
            raise ValueError(f"cannot read {visible(str(path))}: {error.strerror}") from error
    if len(found) > largest:
        raise ValueError(f"{visible(str(path))} is damaged: it has more than {largest:,} bytes")
    return found


def text(path: Path, *, largest: int = LARGEST) -> str:
    """A file's text, line ends as they are and a byte order mark left out; ValueError if it is not UTF-8."""
    return _decoded(content(path, largest=largest), visible(str(path)))


def json_mapping(path: Path, *, foreign: bool = False) -> dict[str, Any]:
    """The object that a JSON file holds; foreign: another program's, whose numbers have other bounds."""
    where = visible(str(path))
    return mapping(parsed(text(path), where, foreign=foreign), where)


def yaml_mapping(path: Path, *, verdict: str = "is damaged") -> dict[str, Any]:
    """The keys and values that a YAML file holds; `verdict`: what an error says of the file, before the reason."""
    where, source = visible(str(path)), text(path, largest=LARGEST_YAML)
    try:
        found = yaml_text.parse(source)
    except ValueError as error:
        raise ValueError(f"{where} {verdict}: {error}") from error
    return mapping(found, where, verdict)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file with one a line; ValueError names the line that is damaged."""
    with opened(path) as handle:
        number = 0
        while line := handle.readline(LARGEST_ROW + 1):
            number += 1
            yield row(line, f"{visible(str(path))}, line {number},")


def row(line: bytes, where: str) -> dict[str, Any]:
    """The object in a line; ValueError says `where`."""
    if len(line) > LARGEST_ROW:
        raise ValueError(f"{where} is damaged: it has more than {LARGEST_ROW:,} bytes")
    return mapping(parsed(_decoded(line, where), where), where)


def parsed(source: str, where: str, *, foreign: bool = False) -> Any:
    """The value in a JSON text; ValueError says `where`."""
    try:
        found = (_FOREIGN if foreign else _DECODER).decode(source)
    except RecursionError as error:
        raise ValueError(f"{where} is damaged: nested deeper than {DEPTH} levels") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"{where} is damaged: {error.msg} at {place}") from error
    except ValueError as error:
        raise ValueError(f"{where} is damaged: {error}") from error
    if source.count("[") + source.count("{") > DEPTH and _is_deep(found):
        raise ValueError(f"{where} is damaged: nested deeper than {DEPTH} levels")
    if "\\ud" in source or "\\uD" in source:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{where} is damaged: it holds half of a surrogate pair") from error
    return found


def mapping(value: Any, where: str, verdict: str = "is damaged") -> dict[str, Any]:
    """The value, if it is a mapping; ValueError says `where`."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} {verdict}: it must hold keys and values (it holds {shown(value)})")
    return value


def checked(value: Any, kind: type[Kind], where: str) -> Kind:
    """The value as an instance of `kind`: a dataclass, a TypedDict (of typing_extensions), list[int]; types are strict.

    ValueError says `where`, which key, and what it must be.
    """
    try:
        if is_dataclass(kind):  # made from a mapping in this mode only
            return _adapter(kind).validate_json(json.dumps(value), strict=True)
        return _adapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        keys = [".".join(map(str, one["loc"])) for one in wrong]
        missing = [key for key, one in zip(keys, wrong, strict=True) if one["type"] == "missing"]
        what = f"{keys[0]}: {wrong[0]['msg']} (it is {shown(wrong[0]['input'])})"
        if missing:
            what = f"it lacks {', '.join(missing)}"
        raise ValueError(f"{where} is damaged: {visible(what)}") from error


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _decoded(found: bytes, where: str) -> str:
    try:
        return found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is damaged: it is not UTF-8 text (byte {error.start})") from error


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(number)} is not finite")
    return value


def _integer(number: str) -> int:
    """An integer that a tensor can hold."""
    if len(number) > 20 or not -yaml_text.INTEGERS <= (value := int(number)) < yaml_text.INTEGERS:
        raise ValueError(f"the number {shown(number)} is too large")
    return value


def _foreign_integer(number: str) -> int:
    """An integer as transformers writes them: a tokenizer without a limit has model_max_length 1e30."""
    if len(number) > FOREIGN_DIGITS:
        raise ValueError(f"the number {shown(number)} is too large")
    return int(number)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not finite")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {shown(doubled)} is given twice")
    return found


def _is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than DEPTH."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH):
        inside = (inner for one in level for inner in (one.values() if isinstance(one, dict) else one))
        level = [inner for inner in inside if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


_DECODER = json.JSONDecoder(parse_float=_finite, parse_int=_integer, parse_constant=_refuse, object_pairs_hook=_once)
_FOREIGN = json.JSONDecoder(parse_int=_foreign_integer, object_pairs_hook=_once)  # some configurations hold Infinity
