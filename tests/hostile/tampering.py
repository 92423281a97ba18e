"""Ways to change a whole checkpoint as somebody who means harm, or a broken program, might do it."""

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


def config(name: str, **changes: Any) -> Case:
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


def changed_text(name: str, text: str | bytes) -> Case:
    """config.json with another content."""
    return Case(f"config: {name}", lambda folder: replace(folder / "config.json", text))


def replace(file: Path, text: str | bytes) -> None:
    file.unlink(missing_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def tensors(name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Case:
    """model.safetensors with other tensors."""

    def changed(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(found, folder / "model.safetensors")

    return Case(f"weights: {name}", changed)


def changed_bytes(name: str, change: Callable[[bytes], bytes]) -> Case:
    """model.safetensors with other bytes."""

    def changed(folder: Path) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(change(file.read_bytes()))

    return Case(f"weights: {name}", changed)


def head(name: str, change: Callable[[dict[str, Any]], object]) -> Case:
    """model.safetensors with another head before the same data."""

    def changed(whole: bytes) -> bytes:
        (size,) = struct.unpack("<Q", whole[:8])
        head = json.loads(whole[8 : 8 + size])
        found = change(head)
        text = json.dumps(head if found is None else found).encode()
        return struct.pack("<Q", len(text)) + text + whole[8 + size :]

    return changed_bytes(f"head: {name}", changed)


def index(name: str, content: Any) -> Case:
    """An index of shards beside the weights; a callable makes more files and gives the content."""

    def changed(folder: Path) -> None:
        found = content(folder) if callable(content) else content
        text = found if isinstance(found, str) else json.dumps(found)
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")

    return Case(f"index: {name}", changed)


def shard(name: str) -> Any:
    return {"weight_map": {"lm_head.weight": name}}


def fifo_shard(folder: Path) -> Any:
    os.mkfifo(folder / "pipe.safetensors")
    return shard("pipe.safetensors")


def directory_shard(folder: Path) -> Any:
    (folder / "a.safetensors").mkdir()
    return shard("a.safetensors")


def elsewhere(folder: Path) -> Path:
    """A whole weights file outside of the checkpoint."""
    other = folder.parent / "elsewhere.safetensors"
    other.write_bytes((folder / "model.safetensors").read_bytes())
    return other


def link(name: str, target: str | None = None) -> Callable[[Path], None]:
    """A file of the folder becomes a link, to the same content elsewhere by default."""

    def change(folder: Path) -> None:
        file = folder / name
        other = Path(target) if target else folder.parent / f"elsewhere-{name}"
        if target is None:
            other.write_bytes(file.read_bytes())
        file.unlink()
        file.symlink_to(other)

    return change


def special(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return change


def checksums(content: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "checksums.json").write_text(json.dumps(content), encoding="utf-8")

    return change


def pipe_in_checksums(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    checksums({"pipe": "0" * 64})(folder)


def nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors["lm_head.weight"][0, 0] = float("nan")


def all_nan(tensors: dict[str, torch.Tensor]) -> None:
    for value in tensors.values():
        value.fill_(float("nan"))


def to_dtype(dtype: torch.dtype) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["lm_head.weight"].to(dtype)

    return change


def shaped(*shape: int) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = torch.zeros(shape)

    return change


def overlap(head: dict[str, Any]) -> None:
    first, second = [name for name in head if name != "__metadata__"][:2]
    head[second]["data_offsets"] = head[first]["data_offsets"]
    head[second]["shape"] = head[first]["shape"]


def entry(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(head: dict[str, Any]) -> None:
        head["lm_head.weight"][key] = value

    return change


def part(folder: Path) -> Any:
    save_file({"lm_head.weight": torch.zeros(3, 16)}, folder / "a.safetensors")
    return shard("a.safetensors")


def only_adapters(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    replace(folder / "adapter_config.json", json.dumps({"auto_mapping": {"parent_library": MODULE}}))


def written(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: replace(folder / name, text)
