"""What a terminal would obey is written out."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chainlift import references, yaml_text
from chainlift.models.hub import model_folder
from chainlift.references import Trust
from chainlift.runs.store import RunFolder
from chainlift.runs.trackers import Mirror
from chainlift.stages.failures import explain
from chainlift.tasks import contract
from chainlift.tasks import registry as tasks
from chainlift.tasks.gym import GymSettings, GymTask
from chainlift.visible import LONGEST, one_line, shown, visible

HOSTILE = "first\n   se\x1b[2Jcond \u202egnp.exe\n\nlast\u2066"
TOLD = r"first se\x1b[2Jcond \u202egnp.exe last\u2066"


def test_sequences_marks_and_halves_of_pairs_are_written_out() -> None:
    assert visible("a\x1b[31mb\x07\x9bc") == r"a\x1b[31mb\x07\x9bc"
    assert visible("\u202eabc\u200b\ufeff\ud800\u2028") == r"\u202eabc\u200b\ufeff\ud800\u2028"
    assert visible("größer ≤ [b] 数") == "größer ≤ [b] 数"
    assert visible("a\nb\rc\td") == r"a\nb\rc\td"
    assert visible("a\nb\rc", lines=True) == "a\nb\\rc"


def test_an_error_is_one_line_with_an_end() -> None:
    assert one_line("a\nb\x1b") == r"a b\x1b"
    assert len(one_line("x" * 10**6)) < LONGEST + 10


def test_a_large_value_is_shown_in_short() -> None:
    wide = "lol"
    for _ in range(12):
        wide = [wide] * 9  # 9**12 texts, as an alias bomb has them
    assert len(shown(wide)) < 200
    assert len(shown("x" * 10**6)) < 100
    assert len(shown({str(i): i for i in range(10**5)})) < 200
    assert "bits" in shown(10**10000)
    assert shown("a\x1b") == r"'a\x1b'"


def test_a_line_may_be_cut_shorter() -> None:
    assert one_line(HOSTILE, longest=14) == r"first se\x1b[2 ..."
    assert one_line("short", longest=5) == "short"
    assert one_line("a  b\n") == "a  b"  # a path may have two blanks


def fails(*_: object, **__: object) -> None:
    raise ValueError(HOSTILE)


class Usage(Exception):
    """As typer's."""

    def format_message(self) -> str:
        return HOSTILE


def imported(folder: Path, patch: pytest.MonkeyPatch) -> str:
    (folder / "hostile_module.py").write_text(f"raise ValueError({HOSTILE!r})", encoding="utf-8")
    patch.chdir(folder)
    patch.setattr(sys, "path", [*sys.path])
    with pytest.raises(ValueError, match="cannot be imported") as found:
        references.load("hostile_module:name")
    return str(found.value)


def complained(_: Path, patch: pytest.MonkeyPatch) -> str:
    task = tasks.build(tasks.settings_class("running_sum")())
    patch.setattr(type(task), "prompts", fails)
    return str(contract.complaint(task))


def opened(_: Path, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(tasks, "make", fails)
    with pytest.raises(ValueError, match=r"^config\.json, task: ") as found:
        model_folder._task(Path("config.json"), {"name": "running_sum"}, Trust("config.json"))
    return str(found.value)


def tracked(folder: Path, _: pytest.MonkeyPatch) -> str:
    told: list[str] = []
    Mirror(RunFolder(folder), "wandb", {}, told.append)._try(fails)
    return told[0]


def drawn(_: Path, patch: pytest.MonkeyPatch) -> str:
    patch.setattr(pytest.importorskip("reasoning_gym"), "create_dataset", fails)
    with pytest.raises(ValueError, match="reasoning-gym cannot make") as found:
        GymTask(GymSettings())
    return str(found.value)


def typed(_: Path, __: pytest.MonkeyPatch) -> str:
    return explain(Usage())[1]


@pytest.mark.parametrize(
    "place", [imported, complained, opened, tracked, drawn, typed], ids=lambda place: place.__name__
)
def test_what_others_say_in_their_errors_is_one_visible_line(
    place: Callable[[Path, pytest.MonkeyPatch], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = place(tmp_path, monkeypatch)
    assert TOLD in line
    assert line == visible(line)


def test_a_yaml_error_is_one_visible_line() -> None:
    with pytest.raises(ValueError, match="not valid YAML") as found:
        yaml_text.parse("a: [\u202e")
    assert str(found.value) == visible(str(found.value))
