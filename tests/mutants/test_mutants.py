"""The list of mutants fits the source, and `python -m tests.mutants` tells what is caught from what is not."""

from pathlib import Path

import pytest

from tests.mutants import __main__ as command
from tests.mutants.mutant import Mutant
from tests.mutants.mutants import MUTANTS, ROOT

SOURCE = ROOT / "src" / "chainlift"
ROOMS = (
    "settings.py", "seeding.py", "overrides.py", "reading.py", "tasks", "text", "text/grading", "models", "models/hub",
    "models/pretrained", "theory", "learning", "measure", "runs", "stages", "stages/policy", "stages/planning",
    "stages/trl", "report", "interop", "claims", "sweep", "bench", "api", "cli",
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.name)
def test_the_replaced_text_is_in_the_source_once_and_its_tests_are_there(mutant: Mutant) -> None:
    assert (SOURCE / mutant.file).read_text(encoding="utf-8").count(mutant.text) == 1
    assert mutant.replacement != mutant.text
    for test in mutant.tests.split():
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8") or not name, test


def test_every_room_has_mutants_and_no_two_are_alike() -> None:
    assert {room for room in ROOMS if not any(one.file.startswith(room) for one in MUTANTS.values())} == set()
    changes = {(one.file, one.text, one.replacement) for one in MUTANTS.values()}
    assert len(changes) == len(MUTANTS) >= 60


@pytest.mark.slow
@pytest.mark.smoke
def test_what_is_caught_is_told_from_what_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With mutants of its own: one that its test notices, one that it does not, and one whose text is not there."""
    tests = "tests/test_seeding.py::test_a_stream_is_fixed_by_seed_name_and_index"
    own = [
        Mutant("seen", "seeding.py", "digest_size=8", "digest_size=7", tests),
        Mutant("harmless", "seeding.py", '"big") >> 1', '"big") // 2', tests),
        Mutant("lost", "seeding.py", "no such text", "", tests),
    ]
    monkeypatch.setattr(command, "MUTANTS", {one.name: one for one in own})
    before = (SOURCE / "seeding.py").read_bytes()
    assert command.main(["seen"]) == 0
    assert command.main(["harmless", "lost"]) == 1
    assert command.main(["nothing"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:1] + lines[2:4]] == ["caught", "survived", "gone"]
    assert (SOURCE / "seeding.py").read_bytes() == before
