"""YAML as recipes use it: the core schema of YAML 1.2, one document, without tags, anchors and aliases.

PyYAML reads YAML 1.1, in which 010 is 8, 1:30 is 90, `on` is true and 1e-3 is text. Here 010 is 10 and 1e-3 a number,
and only true and false are booleans: `on`, `yes`, 1:30, 1_000 and dates are text. Features that can run code, grow
without bound or be ambiguous are refused: tags, aliases, deep nesting, repeated keys, keys that are not text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from chainlift.visible import one_line, shown

DEPTH = 32  # levels of nesting
INT64_BOUND = 2**63  # integers from -2^63 to 2^63 - 1 fit a tensor

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+$|0o[0-7]+$|0x[0-9a-fA-F]+$")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
_CORE = (
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
)
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """A loader for the core schema that refuses repeated keys and keys that are not text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's name and type)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ValueError(f"line {_line(key_node)}: the key {shown(key)} is not text; put it in quotes")
            if key in mapping:
                raise ValueError(f"line {_line(key_node)}: the key {shown(key)} is given twice")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping

    def construct_int(self, node: yaml.ScalarNode) -> int:
        text = node.value
        value = int(text, 0) if text[:2] in ("0o", "0x") else int(text) if len(text) < 40 else INT64_BOUND
        if not -INT64_BOUND <= value < INT64_BOUND:
            raise ValueError(f"line {_line(node)}: the number {shown(text)} is too large")
        return value

    def construct_float(self, node: yaml.ScalarNode) -> float:
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


class _Dumper(yaml.SafeDumper):
    """A dumper without aliases that quotes every text that YAML 1.1 or 1.2 would read as another type."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, list(_first))
    _Dumper.add_implicit_resolver(_TAG + _name, _pattern, list(_first))
_Loader.add_constructor(_TAG + "int", _Loader.construct_int)
_Loader.add_constructor(_TAG + "float", _Loader.construct_float)


def parse(text: str) -> Any:
    """The value of a YAML text; ValueError, in one line, says what is wrong, and where."""
    try:
        _check(text)
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {one_line(str(error))}") from error


def dump(content: Any) -> str:
    """YAML text that `parse` reads as `content`, with keys in their order."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False)


def _check(text: str) -> None:
    """Refuse anchors, tags and deep nesting by the parser's events, before any value is built."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        where = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError(f"{where}: anchors and aliases are not read; write the value out")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"{where}: tags such as {shown(event.tag)} are not read; write the value alone")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH:
            raise ValueError(f"{where}: nested deeper than {DEPTH} levels")


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
