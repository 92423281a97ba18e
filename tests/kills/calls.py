"""Every call of a process that changes what is on the disk, counted; and what a disk without power keeps of them."""

import builtins
import io
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chainlift.models import tensors

Tree = dict[str, bytes | None]
"""A folder: the content of each file by its path, None for a folder."""


def tree_of(root: Path) -> Tree:
    """What is in a folder now."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
    }


def make(root: Path, tree: Tree) -> None:
    """Make a folder with this content."""
    root.mkdir()
    for name, content in sorted(tree.items()):
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)


class Calls:
    """Put in the place of the system's calls; `on_call(kind, path, half)` hears of each below `root` before it is made.

    half: makes the first half of a write, for one who wants to end in the middle of it. What is written goes into the
    files at once, but fsync is only noted: a test needs no disk. Lasts until the process ends.
    """

    def __init__(self, root: Path, on_call: Callable[[str, Path, Callable[[], object]], None]) -> None:
        self.root, self.on_call = root, on_call
        self.disk = Disk(root)
        for name in ("mkdir", "rmdir", "unlink", "rename", "replace", "open"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        os.remove = os.unlink
        os.fsync = self._fsync
        builtins.open = io.open = self._open(io.open)
        shutil._USE_CP_SENDFILE = False  # pyright: ignore[reportAttributeAccessIssue]
        tensors.save_file = self._save_file(tensors.save_file)

    def call(self, kind: str, path: Path, half: Callable[[], object] = lambda: None) -> None:
        if path.is_relative_to(self.root) and path.name != ".lock":
            self.on_call(kind, path, half)

    def _wrapped(self, name: str, real: Any) -> Any:
        def called(path: Any, *arguments: Any, **named: Any) -> Any:
            changes = name != "open" or (arguments and arguments[0] & os.O_CREAT)
            if not changes:
                return real(path, *arguments, **named)
            where = self._where(path, named.get("dir_fd"))
            self.call(name, where)
            found = real(path, *arguments, **named)
            if where.is_relative_to(self.root):
                if name in ("rename", "replace"):
                    self.disk.move(where, Path(arguments[0]))
                elif name in ("unlink", "rmdir"):
                    self.disk.remove(where)
                else:
                    self.disk.add(where, is_folder=name == "mkdir")
            return found

        return called

    @staticmethod
    def _where(path: Any, folder: int | None) -> Path:
        return Path(path) if folder is None else Path(os.readlink(f"/proc/self/fd/{folder}")) / path

    def _fsync(self, handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        self.call("fsync", path)
        if path.is_relative_to(self.root):
            self.disk.sync(path)

    def _open(self, real: Any) -> Any:
        calls = self

        class Raw(io.FileIO):
            def write(self, content: Any) -> int:
                calls.call("write", Path(str(self.name)), lambda: self._half(content))
                return super().write(content)

            def _half(self, content: Any) -> None:
                super().write(bytes(content)[: len(content) // 2])

            def truncate(self, size: int | None = None) -> int:
                calls.call("truncate", Path(str(self.name)))
                return super().truncate(size)

        def opened(path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            if not isinstance(path, str | Path) or not set(mode) & set("wax+"):
                return real(path, mode, *arguments, **named)
            if not Path(path).is_relative_to(self.root):
                return real(path, mode, *arguments, **named)
            self.call("open", Path(path))
            self.disk.add(Path(path), is_folder=False)
            raw = io.BufferedWriter(Raw(str(path), mode.replace("b", "").replace("t", "")))
            return raw if "b" in mode else io.TextIOWrapper(raw, encoding="utf-8")

        return opened

    def _save_file(self, real: Any) -> Any:
        def save(content: Any, file: Path, **named: Any) -> None:
            self.call("save", file, lambda: file.write_bytes(b"\x08half"))
            real(content, file, **named)

        return save


class Disk:
    """A model of a disk that loses its power: it keeps a file's content at its last fsync, and so a folder's names.

    A name that was synchronized stands for its file until the folder is synchronized again, whatever is renamed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: dict[int, dict[str, int]] = {0: {}}
        """Of each folder: its names now."""
        self.kept_names: dict[int, dict[str, int]] = {0: {}}
        self.kept: dict[int, bytes] = {}
        self.now: dict[int, Path] = {}
        """Of each file: where it is now."""
        self.last = 0
        for path in sorted(root.rglob("*")):  # what is there at the beginning has long been written
            self.add(path, is_folder=path.is_dir())
            if path.is_file():
                self.sync(path)
        self.kept_names = {folder: dict(names) for folder, names in self.names.items()}

    def _node(self, path: Path) -> int:
        node = 0
        for part in path.relative_to(self.root).parts:
            node = self.names[node][part]
        return node

    def add(self, path: Path, *, is_folder: bool) -> None:
        """A file or folder has been made, or a file opened."""
        if path == self.root:
            return
        names = self.names[self._node(path.parent)]
        if path.name in names:
            return
        self.last += 1
        names[path.name] = self.last
        if is_folder:
            self.names[self.last], self.kept_names[self.last] = {}, {}
        else:
            self.kept[self.last], self.now[self.last] = b"", path

    def move(self, source: Path, target: Path) -> None:
        """A file or folder has another name."""
        self.add(source, is_folder=target.is_dir())
        node = self.names[self._node(source.parent)].pop(source.name)
        names = self.names[self._node(target.parent)]
        self.now.pop(names.get(target.name, -1), None)  # a file that was there can be read no more
        names[target.name] = node
        for file, path in self.now.items():
            if path == source or source in path.parents:
                self.now[file] = target / path.relative_to(source)

    def remove(self, path: Path) -> None:
        """A file or folder has no name any more."""
        node = self.names[self._node(path.parent)].pop(path.name, -1)
        self.now.pop(node, None)

    def sync(self, path: Path) -> None:
        """A file or folder was synchronized."""
        self.add(path, is_folder=path.is_dir())  # where a library in C has made it
        node = self._node(path)
        if node in self.names:
            self.kept_names[node] = dict(self.names[node])
        else:
            self.kept[node] = path.read_bytes()

    def left(self, chance: random.Random | None = None) -> Tree:
        """What is found after a loss of power: what was synchronized or, with `chance`, more than that, here and there.

        A folder has its names of now or the kept ones, a file its content of now, the beginning of it, or the kept one.
        """
        tree: Tree = {}

        def walk(node: int, above: str) -> None:
            newest = chance is not None and chance.random() < 0.5
            for name, inside in (self.names if newest else self.kept_names)[node].items():
                tree[above + name] = None if inside in self.names else self._content(inside, chance)
                if inside in self.names:
                    walk(inside, f"{above}{name}/")

        walk(0, "")
        return tree

    def _content(self, node: int, chance: random.Random | None) -> bytes:
        kept = self.kept[node]
        if chance is None or node not in self.now or not self.now[node].exists():
            return kept
        now = self.now[node].read_bytes()
        return chance.choice([kept, now, kept if len(now) < len(kept) else now[: chance.randint(len(kept), len(now))]])
