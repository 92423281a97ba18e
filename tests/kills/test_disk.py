"""The model of a disk that loses its power, by hand: a file that is written, synchronized, renamed and lost."""

import random
from pathlib import Path

import pytest

from tests.kills.calls import Disk, Tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one old file."""
    (tmp_path / "a").write_bytes(b"o")
    return tmp_path


def states(disk: Disk) -> list[Tree]:
    """What may be left, each state once; the one that keeps nothing but what was synchronized comes first."""
    chance, found = random.Random(0), [disk.left()]
    for _ in range(300):
        tree = disk.left(chance)
        if tree not in found:
            found.append(tree)
    return found


def write(disk: Disk, file: Path, content: bytes) -> None:
    disk.add(file, is_folder=False)
    file.write_bytes(content)


def rename(disk: Disk, source: Path, target: Path) -> None:
    source.replace(target)
    disk.move(source, target)


def test_a_file_that_takes_the_place_of_another_is_the_old_or_the_new_one(root: Path) -> None:
    disk = Disk(root)
    assert states(disk) == [{"a": b"o"}]
    write(disk, root / "b", b"new")
    parts = [{"a": b"o"}, *({"a": b"o", "b": b"new"[:n]} for n in range(4))]
    assert disk.left() == parts[0]
    assert all(tree in parts for tree in states(disk))
    assert len(states(disk)) == len(parts)
    disk.sync(root / "b")
    assert states(disk) == [{"a": b"o"}, {"a": b"o", "b": b"new"}]
    rename(disk, root / "b", root / "a")
    assert states(disk) == [{"a": b"o"}, {"a": b"new"}]  # and no part of the new one in the old one
    disk.sync(root)
    assert states(disk) == [{"a": b"new"}]


def test_a_file_that_was_renamed_without_being_synchronized_is_torn(root: Path) -> None:
    disk = Disk(root)
    write(disk, root / "b", b"new")
    rename(disk, root / "b", root / "a")
    disk.sync(root)
    assert disk.left() == {"a": b""}
    assert {"a": b"ne"} in states(disk)


def test_a_deleted_file_is_back_until_its_folder_is_synchronized(root: Path) -> None:
    disk = Disk(root)
    (root / "a").unlink()
    disk.remove(root / "a")
    assert states(disk) == [{"a": b"o"}, {}]
    disk.sync(root)
    assert states(disk) == [{}]


def test_a_folder_that_was_renamed_takes_its_files_along(root: Path) -> None:
    disk = Disk(root)
    (root / "x").mkdir()
    disk.add(root / "x", is_folder=True)
    write(disk, root / "x" / "c", b"c")
    disk.sync(root / "x" / "c")
    disk.sync(root)
    assert disk.left() == {"a": b"o", "x": None}  # the file's name in x was not synchronized
    disk.sync(root / "x")
    rename(disk, root / "x", root / "y")
    assert states(disk) == [{"a": b"o", "x": None, "x/c": b"c"}, {"a": b"o", "y": None, "y/c": b"c"}]
    write(disk, root / "y" / "c", b"cc")
    disk.sync(root)
    assert disk.left() == {"a": b"o", "y": None, "y/c": b"c"}
    assert {"a": b"o", "y": None, "y/c": b"cc"} in states(disk)
