"""YAML as recipes use it: the core schema of YAML 1.2, one document, without tags, anchors and aliases.

PyYAML reads YAML 1.1, in which 010 is 8, 1:30 is 90, `on` is true and 1e-3 is text. Here a number is a number as people
write it, and true and false are the only truth values: `on`, `yes`, 1:30, 1_000 and dates are text. What a file can use
to run something, to grow without bound or to say two things at once is refused: tags, aliases, deep nesting, a key that
is given twice, a key that is not text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from chainlift.visible import one_line, shown

DEPTH = 32  # of nesting
INTEGERS = 2**63  # one below this is the largest that tensors hold

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
    """Reads scalars by the core schema; mappings with keys that are text, each given once."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's name and type)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ValueError(f"line {_line(key_node)}: the key {shown(key)} is no text; put it in quotes")
            if key in found:
                raise ValueError(f"line {_line(key_node)}: the key {shown(key)} is given twice")
            found[key] = self.construct_object(value_node, deep=deep)
        return found

    def construct_int(self, node: yaml.ScalarNode) -> int:
        text = node.value
        value = int(text, 0) if text[:2] in ("0o", "0x") else int(text) if len(text) < 40 else INTEGERS
        if not -INTEGERS <= value < INTEGERS:
            raise ValueError(f"line {_line(node)}: the number {shown(text)} is too large")
        return value

    def construct_float(self, node: yaml.ScalarNode) -> float:
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


class _Dumper(yaml.SafeDumper):
    """Puts in quotes what either version of YAML would take for something else than text; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, list(_first))
    _Dumper.add_implicit_resolver(_TAG + _name, _pattern, list(_first))
_Loader.add_constructor(_TAG + "int", _Loader.construct_int)
_Loader.add_constructor(_TAG + "float", _Loader.construct_float)


def parse(text: str) -> Any:
    """The one value in a text; ValueError in one line that says what is wrong, and where."""
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
    """The text that `parse` reads as `content`, keys in their order."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False)


def _check(text: str) -> None:
    """ValueError for what recipes do without; a look at the events alone, before anything is built from them."""
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
