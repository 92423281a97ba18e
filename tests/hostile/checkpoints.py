"""Checkpoints as somebody who means harm, or a broken program, might make them: a list of changes to a whole one."""

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

MODULE = "hostile_module"
REFERENCE = f"{MODULE}:Thing"
EVERY = ("evaluate", "sample", "export")


@dataclass(frozen=True)
class Case:
    """A change to a checkpoint folder, and the commands that must refuse the folder then."""

    name: str
    change: Callable[[Path], None]
    refused_by: tuple[str, ...] = EVERY


def _config(name: str, **changes: Any) -> Case:
    """config.json with dotted keys set; `...` removes one."""

    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for key, value in changes.items():
            node = content
            *parents, last = key.split("__")
            for parent in parents:
                node = node[parent]
            if value is ...:
                del node[last]
            else:
                node[last] = value
        (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")

    return Case(f"config: {name}", change)


def _text(name: str, text: str | bytes) -> Case:
    """config.json with another content."""
    return Case(f"config: {name}", lambda folder: _replace(folder / "config.json", text))


def _replace(file: Path, text: str | bytes) -> None:
    file.unlink(missing_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def _tensors(name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Case:
    """model.safetensors with other tensors."""

    def changed(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(found, folder / "model.safetensors")

    return Case(f"weights: {name}", changed)


def _bytes(name: str, change: Callable[[bytes], bytes]) -> Case:
    """model.safetensors with other bytes."""

    def changed(folder: Path) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(change(file.read_bytes()))

    return Case(f"weights: {name}", changed)


def _head(name: str, change: Callable[[dict[str, Any]], object]) -> Case:
    """model.safetensors with another head before the same data."""

    def changed(whole: bytes) -> bytes:
        (size,) = struct.unpack("<Q", whole[:8])
        head = json.loads(whole[8 : 8 + size])
        found = change(head)
        text = json.dumps(head if found is None else found).encode()
        return struct.pack("<Q", len(text)) + text + whole[8 + size :]

    return _bytes(f"head: {name}", changed)


def _index(name: str, content: Any) -> Case:
    """An index of shards beside the weights; a callable makes more files and gives the content."""

    def changed(folder: Path) -> None:
        found = content(folder) if callable(content) else content
        text = found if isinstance(found, str) else json.dumps(found)
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")

    return Case(f"index: {name}", changed)


def _shard(name: str) -> Any:
    return {"weight_map": {"lm_head.weight": name}}


def _fifo_shard(folder: Path) -> Any:
    os.mkfifo(folder / "pipe.safetensors")
    return _shard("pipe.safetensors")


def _directory_shard(folder: Path) -> Any:
    (folder / "a.safetensors").mkdir()
    return _shard("a.safetensors")


def _elsewhere(folder: Path) -> Path:
    """A whole weights file outside of the checkpoint."""
    other = folder.parent / "elsewhere.safetensors"
    other.write_bytes((folder / "model.safetensors").read_bytes())
    return other


def _link(name: str, target: str | None = None) -> Callable[[Path], None]:
    """A file of the folder becomes a link, to the same content elsewhere by default."""

    def change(folder: Path) -> None:
        file = folder / name
        other = Path(target) if target else folder.parent / f"elsewhere-{name}"
        if target is None:
            other.write_bytes(file.read_bytes())
        file.unlink()
        file.symlink_to(other)

    return change


def _special(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return change


def _checksums(content: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "checksums.json").write_text(json.dumps(content), encoding="utf-8")

    return change


def _pipe_in_checksums(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    _checksums({"pipe": "0" * 64})(folder)


def _nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors["lm_head.weight"][0, 0] = float("nan")


def _all_nan(tensors: dict[str, torch.Tensor]) -> None:
    for value in tensors.values():
        value.fill_(float("nan"))


def _to(dtype: torch.dtype) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["lm_head.weight"].to(dtype)

    return change


def _shaped(*shape: int) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = torch.zeros(shape)

    return change


def _overlap(head: dict[str, Any]) -> None:
    first, second = [name for name in head if name != "__metadata__"][:2]
    head[second]["data_offsets"] = head[first]["data_offsets"]
    head[second]["shape"] = head[first]["shape"]


def _entry(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(head: dict[str, Any]) -> None:
        head["lm_head.weight"][key] = value

    return change


GYM = {"name": "reasoning_gym", "dataset": "chain_sum"}
HUGE = 10**9

CASES = [
    # references to code, of every kind
    _config("task by reference", chainlift__task__name=REFERENCE),
    _config("task by dotted reference", chainlift__task__name=f"{MODULE}.inner:Thing.inner"),
    _config("task by a shipped module", chainlift__task__name="os:system"),
    _config("task by an empty reference", chainlift__task__name=":"),
    _config("task by a path", chainlift__task__name="../hostile_module:Thing"),
    _config("task that is not known", chainlift__task__name=MODULE),
    _config("chain by reference", chainlift__task=GYM | {"chain": REFERENCE}),
    _config("chain by a module alone", chainlift__task=GYM | {"chain": f"{MODULE}:"}),
    _config("family by reference", chainlift__model__family=REFERENCE),
    _config("name with escape sequences", chainlift__task__name="\x1b]0;owned\x07:x"),
    _config("name of many lines", chainlift__task__name="a\n\n\nb:c"),
    # wrong types
    _config("no key of ours", chainlift=...),
    _config("our key is a list", chainlift=[]),
    _config("our key is a text", chainlift="task"),
    _config("no task", chainlift__task=...),
    _config("task is a text", chainlift__task="running_sum"),
    _config("task is a list", chainlift__task=["running_sum"]),
    _config("task without a name", chainlift__task__name=...),
    _config("name is a number", chainlift__task__name=1),
    _config("name is a mapping", chainlift__task__name={"a": 1}),
    _config("d is a text", chainlift__task__d="4"),
    _config("d is a fraction", chainlift__task__d=4.5),
    _config("d is true", chainlift__task__d=True),
    _config("d is null", chainlift__task__d=None),
    _config("d is negative", chainlift__task__d=-1),
    _config("d is huge", chainlift__task__d=HUGE),
    _config("d beyond 64 bits", chainlift__task__d=2**70),
    _config("an unknown key in the task", chainlift__task__more=1),
    _config("no model", chainlift__model=...),
    _config("model is a list", chainlift__model=[1]),
    _config("family is a list", chainlift__model__family=["gpt2"]),
    _config("layers is a text", chainlift__model__layers="1"),
    _config("heads that do not fit", chainlift__model__heads=3),
    _config("another family", chainlift__model__family="mistral"),
    _config("the linear family", chainlift__model={"family": "linear"}),
    _config("no context", chainlift__context=...),
    _config("context is a text", chainlift__context="9"),
    _config("context is true", chainlift__context=True),
    _config("context is negative", chainlift__context=-9),
    _config("context is too short", chainlift__context=4),
    # sizes
    _config("layers: 1e9", chainlift__model__layers=HUGE),
    _config("width: 1e9", chainlift__model__width=HUGE),
    _config("width beyond 64 bits", chainlift__model__width=2**62, chainlift__model__heads=1),
    _config("mlp_width: 1e12", chainlift__model__mlp_width=10**12),
    _config("context: 1e12", chainlift__context=10**12),
    _config("a vocabulary of other size", chainlift__task__modulus=1000),
    _config("a question of 1e12", chainlift__task=GYM | {"question_length": 10**12}),
    _config("a hundred thousand layers", chainlift__model__layers=100_000),
    # no JSON, or no ordinary JSON
    _text("empty", ""),
    _text("cut off", '{"chainlift": {"task": {"na'),
    _text("a list", "[]"),
    _text("a number", "1"),
    _text("NaN", '{"chainlift": NaN}'),
    _text("nested", "[" * 100_000),
    _text("nested in our key", '{"chainlift": ' + "[" * 50_000 + "]" * 50_000 + "}"),
    _text("no UTF-8", b'{"chainlift": "\xff\xfe"}'),
    _text("binary", bytes(range(256)) * 8),
    _text("a key twice", '{"chainlift": {}, "chainlift": {"task": 1}}'),
    _text("long", '{"chainlift": "' + "a" * 2_000_000 + '"}'),
    Case("config: a pipe", _special("config.json", os.mkfifo)),
    Case("config: a folder", _special("config.json", os.mkdir)),
    Case("config: a device", _link("config.json", "/dev/zero")),
    Case("config: a link to nothing", _link("config.json", "/nowhere/config.json")),
    Case("config: a link to a secret", _link("config.json", "/etc/passwd")),
    Case("config: a link to itself", _link("config.json", "config.json")),
    Case("config: a link", _link("config.json"), ("export",)),
    # weights
    _bytes("empty", lambda whole: b""),
    _bytes("cut off in the head", lambda whole: whole[:20]),
    _bytes("cut off in the data", lambda whole: whole[: len(whole) // 2]),
    _bytes("a byte short", lambda whole: whole[:-1]),
    _bytes("a byte more", lambda whole: whole + b"\0"),
    _bytes("a head of 2**63 bytes", lambda whole: struct.pack("<Q", 2**63) + whole[8:]),
    _bytes("a head of 99 MB", lambda whole: struct.pack("<Q", 99_000_000) + whole[8:]),
    _bytes("a pickle", lambda whole: b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94."),
    _bytes("garbage", lambda whole: bytes(i * 37 % 251 for i in range(4096))),
    _head("empty", lambda head: {}),
    _head("a list", lambda head: [1, 2]),
    _head("overlapping offsets", _overlap),
    _head("offsets beyond the end", _entry("data_offsets", [0, 2**40])),
    _head("offsets that run backwards", _entry("data_offsets", [8, 4])),
    _head("negative offsets", _entry("data_offsets", [-8, -4])),
    _head("a huge shape", _entry("shape", [2**31, 2**31])),
    _head("a shape that overflows", _entry("shape", [2**62, 2**62])),
    _head("a negative shape", _entry("shape", [-1, 4])),
    _head("a shape of texts", _entry("shape", ["a"])),
    _head("an unknown type", _entry("dtype", "F128")),
    _head("a type that is a number", _entry("dtype", 32)),
    _tensors("one is missing", lambda tensors: tensors.pop("lm_head.weight")),
    _tensors("none has its name", lambda tensors: (tensors.clear(), tensors.update({"../../x": torch.zeros(2)}))),
    _tensors("another shape", _shaped(2, 2)),
    _tensors("a scalar", _shaped()),
    _tensors("no elements", _shaped(0, 16)),
    _tensors("integers", _to(torch.int64)),
    _tensors("truth values", _to(torch.bool)),
    _tensors("float8", _to(torch.float8_e4m3fn)),
    _tensors("a NaN", _nan),
    _tensors("all NaN", _all_nan),
    _tensors("an infinity", lambda tensors: tensors["lm_head.weight"].fill_(float("inf"))),
    Case("weights: missing", lambda folder: (folder / "model.safetensors").unlink()),
    Case("weights: a pipe", _special("model.safetensors", os.mkfifo)),
    Case("weights: a folder", _special("model.safetensors", os.mkdir)),
    Case("weights: a device", _link("model.safetensors", "/dev/zero")),
    Case("weights: a link to nothing", _link("model.safetensors", "/nowhere")),
    Case("weights: a link", _link("model.safetensors"), ("export",)),
    # an index of shards
    _index("cut off", '{"weight_map": {'),
    _index("a list", []),
    _index("no weight_map", {}),
    _index("weight_map is a list", {"weight_map": ["model.safetensors"]}),
    _index("weight_map is null", {"weight_map": None}),
    _index("an empty weight_map", {"weight_map": {}}),
    _index("a shard that is a number", {"weight_map": {"a": 1}}),
    _index("a shard that is a list", {"weight_map": {"a": ["model.safetensors"]}}),
    _index("a shard above", lambda folder: _shard(f"../{_elsewhere(folder).name}")),
    _index("an absolute shard", lambda folder: _shard(str(_elsewhere(folder)))),
    _index("a shard by a folder of its own", lambda folder: _shard(f"../{folder.name}/model.safetensors")),
    _index("a shard with backslashes", _shard("..\\model.safetensors")),
    _index("an empty shard", _shard("")),
    _index("a dot", _shard(".")),
    _index("two dots", _shard("..")),
    _index("a null byte", _shard("a\0.safetensors")),
    _index("a name of 10,000 characters", _shard("a" * 10_000 + ".safetensors")),
    _index("/etc/passwd", _shard("/etc/passwd")),
    _index("a missing shard", _shard("model-00001-of-00002.safetensors")),
    _index("a pickle of PyTorch", _shard("pytorch_model.bin")),
    _index("a pipe", _fifo_shard),
    _index("a folder", _directory_shard),
    _index("part of the weights", lambda folder: _part(folder)),
    # checksums
    Case("checksums: a list", _checksums([1])),
    Case("checksums: numbers", _checksums({"config.json": 1})),
    Case("checksums: wrong", _checksums({"config.json": "0" * 64})),
    Case("checksums: a device", _checksums({"/dev/zero": "0" * 64})),
    Case("checksums: outside", _checksums({"../secret.txt": "0" * 64})),
    Case("checksums: a pipe", _pipe_in_checksums),
    # nothing but adapters
    Case("adapters only", lambda folder: _only_adapters(folder)),
]
"""What `evaluate`, `sample` and `export` must refuse."""


def _part(folder: Path) -> Any:
    save_file({"lm_head.weight": torch.zeros(3, 16)}, folder / "a.safetensors")
    return _shard("a.safetensors")


def _only_adapters(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    _replace(folder / "adapter_config.json", json.dumps({"auto_mapping": {"parent_library": MODULE}}))


def _write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: _replace(folder / name, text)


HARMLESS = [
    Case("a secret behind a link", lambda folder: (folder / "notes.txt").symlink_to("/etc/passwd"), ()),
    Case("a hidden file", _write(".env", "KEY=secret"), ()),
    Case("a pickle", _write("pytorch_model.bin", "secret"), ()),
    Case("code", _write("modeling.py", "raise SystemExit"), ()),
    Case("a tokenizer that is garbage", _write("tokenizer.json", "\0garbage"), ()),
    Case("a tokenizer's settings with code", _write("tokenizer_config.json", '{"auto_map": {"A": "x.Y"}}'), ()),
    Case("generation settings that are a list", _write("generation_config.json", "[]"), ()),
    Case("a card with commands", _write("README.md", "rm -rf ~"), ()),
    Case("a pipe beside", lambda folder: os.mkfifo(folder / "vocab.json"), ()),
    Case("a folder beside", lambda folder: (folder / "more").mkdir(), ()),
    Case("a link beside", lambda folder: (folder / "merges.txt").symlink_to("/etc/passwd"), ()),
    Case("a link as tokenizer", _link("tokenizer.json", "/etc/passwd"), ()),
]
"""What lies in a folder and must neither be read nor leave it: the commands do their work."""
