"""Safe reading of files that a user, a crash or an attacker may have damaged.

Only regular files are read (reading a pipe could block forever), up to a size limit, in UTF-8, with finite numbers and
bounded nesting. Every error is a ValueError of one line that names the file, and the key or the line.
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

LARGEST = 64 * 2**20  # bytes of a file that is read whole
LARGEST_YAML = 2**20
LARGEST_ROW = 64 * 2**20  # bytes of one line of a .jsonl file; the number of lines has no limit
DEPTH = 64  # of nesting in JSON
FOREIGN_DIGITS = 40  # digits of an integer in another program's JSON
Kind = TypeVar("Kind")
StrPath = str | os.PathLike[str]


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; ValueError if it is missing, not readable or not a regular file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening, since opening a device can have effects
            raise ValueError(f"{visible(str(path))} is damaged: it is not a regular file")
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ValueError(f"{visible(str(path))} is damaged: it is not a regular file")
        return os.fdopen(descriptor, "rb")
    except FileNotFoundError as error:
        raise ValueError(f"{visible(str(path))} is missing") from error
    except OSError as error:
        raise ValueError(f"cannot read {visible(str(path))}: {error.strerror}") from error


def content(path: Path, *, largest: int = LARGEST) -> bytes:
    """All bytes of a file; ValueError if there are more than `largest`."""
    with open_regular(path) as handle:
        try:
            data = handle.read(largest + 1)
        except OSError as error:
            raise ValueError(f"cannot read {visible(str(path))}: {error.strerror}") from error
    if len(data) > largest:
        raise ValueError(f"{visible(str(path))} is damaged: it has more than {largest:,} bytes")
    return data


def text(path: Path, *, largest: int = LARGEST) -> str:
    """A file's text without a byte order mark, line ends unchanged; ValueError if it is not UTF-8."""
    return _decoded(content(path, largest=largest), visible(str(path)))


def json_mapping(path: Path, *, foreign: bool = False) -> dict[str, Any]:
    """The object in a JSON file; foreign: written by another program, whose numbers have other bounds."""
    where = visible(str(path))
    return mapping(parsed(text(path), where, foreign=foreign), where)


def yaml_mapping(path: Path, *, verdict: str = "is damaged") -> dict[str, Any]:
    """The mapping in a YAML file; `verdict`: words of the error between the file and the reason."""
    where, source = visible(str(path)), text(path, largest=LARGEST_YAML)
    try:
        value = yaml_text.parse(source)
    except ValueError as error:
        raise ValueError(f"{where} {verdict}: {error}") from error
    return mapping(value, where, verdict)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file; ValueError names the damaged line."""
    with open_regular(path) as handle:
        number = 0
        while line := handle.readline(LARGEST_ROW + 1):
            number += 1
            yield row(line, f"{visible(str(path))}, line {number},")


def row(line: bytes, where: str) -> dict[str, Any]:
    """The JSON object in a line; errors begin with `where`."""
    if len(line) > LARGEST_ROW:
        raise ValueError(f"{where} is damaged: it has more than {LARGEST_ROW:,} bytes")
    return mapping(parsed(_decoded(line, where), where), where)


def parsed(source: str, where: str, *, foreign: bool = False) -> Any:
    """The value of a JSON text; errors begin with `where`."""
    try:
        value = (_FOREIGN if foreign else _DECODER).decode(source)
    except RecursionError as error:
        raise ValueError(f"{where} is damaged: nested deeper than {DEPTH} levels") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"{where} is damaged: {error.msg} at {place}") from error
    except ValueError as error:
        raise ValueError(f"{where} is damaged: {error}") from error
    if source.count("[") + source.count("{") > DEPTH and _is_deep(value):
        raise ValueError(f"{where} is damaged: nested deeper than {DEPTH} levels")
    if "\\ud" in source or "\\uD" in source:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{where} is damaged: it holds half of a surrogate pair") from error
    return value


def mapping(value: Any, where: str, verdict: str = "is damaged") -> dict[str, Any]:
    """The value itself, which must be a mapping; errors begin with `where`."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} {verdict}: it must hold keys and values (it holds {shown(value)})")
    return value


def checked(value: Any, kind: type[Kind], where: str) -> Kind:
    """The value validated strictly as `kind`: a dataclass, a TypedDict (of typing_extensions), list[int], ...

    Errors begin with `where`, and name the key and what it must be.
    """
    try:
        if is_dataclass(kind):  # pydantic makes one from a mapping in JSON mode only
            return _adapter(kind).validate_json(json.dumps(value), strict=True)
        return _adapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        keys = [".".join(map(str, problem["loc"])) for problem in problems]
        missing = [key for key, problem in zip(keys, problems, strict=True) if problem["type"] == "missing"]
        reason = f"{keys[0]}: {problems[0]['msg']} (it is {shown(problems[0]['input'])})"
        if missing:
            reason = f"it lacks {', '.join(missing)}"
        raise ValueError(f"{where} is damaged: {visible(reason)}") from error


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is damaged: it is not UTF-8 text (byte {error.start})") from error


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(number)} is not finite")
    return value


def _integer(number: str) -> int:
    """Parse an integer that fits a 64-bit tensor."""
    if len(number) > 20 or not -yaml_text.INT64_BOUND <= (value := int(number)) < yaml_text.INT64_BOUND:
        raise ValueError(f"the number {shown(number)} is too large")
    return value


def _foreign_integer(number: str) -> int:
    """Parse an integer as transformers writes it: a tokenizer without a limit has model_max_length 1e30."""
    if len(number) > FOREIGN_DIGITS:
        raise ValueError(f"the number {shown(number)} is too large")
    return int(number)


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not finite")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {shown(repeated)} is given twice")
    return content


def _is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than DEPTH levels."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH):
        children = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


_DECODER = json.JSONDecoder(
    parse_float=_finite, parse_int=_integer, parse_constant=_reject_constant, object_pairs_hook=_unique
)
_FOREIGN = json.JSONDecoder(parse_int=_foreign_integer, object_pairs_hook=_unique)  # some configurations hold Infinity
