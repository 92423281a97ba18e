import errno
import json
import os
import pickle
import random
import signal
from pathlib import Path

import pytest

from chainlift.models import checksums
from chainlift.models.checksums import CHECKSUMS
from chainlift.runs import durable
from tests.kills.calls import Calls, make
from tests.kills.processes import ended_at, in_a_process


def fill(folder: Path) -> None:
    (folder / "a.txt").write_text("a", encoding="utf-8")
    (folder / "inside").mkdir()
    (folder / "inside" / "b.bin").write_bytes(b"bb")


def fill_otherwise(folder: Path) -> None:
    (folder / "new").write_text("new", encoding="utf-8")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_is_sealed_before_it_gets_its_name(tmp_path: Path) -> None:
    durable.write_folder(tmp_path / "x", fill)
    assert names(tmp_path) == {"x"}
    assert durable.is_whole(tmp_path / "x")
    listed = json.loads((tmp_path / "x" / "checksums.json").read_text(encoding="utf-8"))
    assert listed == {
        "a.txt": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        "inside/b.bin": "3b64db95cb55c763391c707108489ae18b4112d783300de38e033b4c98c3deaf",
    }
    checksums.check(tmp_path / "x")


def test_every_byte_of_every_file_is_guarded(tmp_path: Path) -> None:
    durable.write_folder(tmp_path / "x", fill)
    for file in (path for path in (tmp_path / "x").rglob("*") if path.is_file()):
        content = file.read_bytes()
        for place in range(len(content)):
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(ValueError, match=r"--fresh") as error:
                checksums.check(tmp_path / "x")
            assert str(tmp_path / "x") in str(error.value)
        file.write_bytes(content)
    checksums.check(tmp_path / "x")
    (tmp_path / "x" / "inside" / "b.bin").unlink()
    with pytest.raises(ValueError, match=r"inside/b\.bin is missing"):
        checksums.check(tmp_path / "x")


def test_a_folder_of_another_program_has_nothing_to_compare(tmp_path: Path) -> None:
    fill(tmp_path)
    checksums.check(tmp_path)
    assert not durable.is_whole(tmp_path)


def test_what_kills_leave_is_put_in_order(tmp_path: Path) -> None:
    for name in ("old", "replaced", ".old-replaced", ".old-lost", ".tmp-half", ".tmp-lost"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name.txt").write_text(name, encoding="utf-8")
        durable.seal(tmp_path / name)
    (tmp_path / ".tmp-DONE-0123").write_text("half", encoding="utf-8")
    found = durable.whole_folders(tmp_path)
    assert {name: path.name for name, path in found.items()} == {
        "old": "old",
        "replaced": "replaced",
        "lost": ".old-lost",
    }
    durable.clean_up(tmp_path)
    assert names(tmp_path) == {"old", "replaced", "lost"}
    assert (tmp_path / "replaced" / "name.txt").read_text(encoding="utf-8") == "replaced"
    assert (tmp_path / "lost" / "name.txt").read_text(encoding="utf-8") == ".old-lost"
    durable.clean_up(tmp_path / "nowhere")


@pytest.mark.parametrize("call", ["fsync", "replace", "rename"])
def test_a_folder_that_cannot_be_written_leaves_the_old_one(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable.write_folder(tmp_path / "x", fill)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        with pytest.raises(OSError, match="No space") as error:
            durable.write_folder(tmp_path / "x", lambda folder: (folder / "new").touch())
    assert durable.is_full(error.value)
    assert names(tmp_path) == {"x"}
    assert names(tmp_path / "x") == {"a.txt", "inside", "checksums.json"}


def test_an_error_of_the_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="quota") as error:
        durable.write_file(tmp_path / "a.txt", "a")
    assert error.value.filename == str(tmp_path / "a.txt")
    assert names(tmp_path) == set()


def test_a_temporary_file_that_another_process_cleans_away_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, cleaned = Path.replace, []

    def clean_first(self: Path, target: Path) -> Path:
        if not cleaned:
            cleaned.append(self)
            durable.clean_up(tmp_path)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", clean_first)
    durable.write_file(tmp_path / "a.txt", "a")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "a"
    assert cleaned


def test_every_new_folder_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "sync", synced.append)
    durable.make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    durable.make_folder(tmp_path / "a" / "b" / "c")
    assert len(synced) == 3


def is_a_version(found: Path) -> bool:
    """Whether a folder is, as a whole, what `fill` has written, or what came after."""
    checksums.check(found)
    return durable.is_whole(found) and names(found) in ({"a.txt", "inside", CHECKSUMS}, {"new", CHECKSUMS})


def test_a_folder_is_old_or_new_wherever_its_replacing_is_killed(tmp_path: Path) -> None:
    status, number, root = -signal.SIGKILL, -1, tmp_path
    while status != 0:
        number += 1
        root = tmp_path / str(number)
        root.mkdir()
        durable.write_folder(root / "x", fill)
        status = ended_at(number, root, lambda root=root: durable.write_folder(root / "x", fill_otherwise))
        found = durable.whole_folders(root)
        assert set(found) == {"x"}, "a reader finds one"
        assert is_a_version(found["x"])
        durable.clean_up(root)
        assert names(root) == {"x"}
        assert is_a_version(root / "x")
        assert status in (0, -signal.SIGKILL)
    assert number > 20
    assert names(root / "x") == {"new", CHECKSUMS}


def test_a_folder_is_old_or_new_wherever_the_power_is_lost(tmp_path: Path) -> None:
    root, lost = tmp_path / "root", tmp_path / "lost"
    root.mkdir()
    durable.write_folder(root / "x", fill)

    def record() -> None:
        chance = random.Random(0)
        states = []
        seen = Calls(root, lambda *_: states.extend(seen.disk.left(way) for way in (None, chance, chance, chance)))
        durable.write_folder(root / "x", fill_otherwise)
        lost.with_suffix(".pickle").write_bytes(pickle.dumps([*states, seen.disk.left()]))

    assert in_a_process(record) == 0
    states = pickle.loads(lost.with_suffix(".pickle").read_bytes())
    for number, tree in enumerate(states):
        after = tmp_path / str(number)
        make(after, tree)
        durable.clean_up(after)
        assert names(after) == {"x"}
        assert is_a_version(after / "x")
    assert len(states) > 80
    assert names(tmp_path / str(len(states) - 1) / "x") == {"new", CHECKSUMS}
