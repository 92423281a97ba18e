"""One bad folder is shown as such and takes no view down; nothing that is shown is obeyed by the terminal."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chainlift.report.pages import results_data
from chainlift.report.terminal import reporter, watch
from chainlift.report.terminal.console import PlainConsole, console
from chainlift.runs.progress import Watcher
from chainlift.stages import recipe as recipes
from chainlift.sweep import status
from tests.conftest import SMALL

TRAP = "[/red] [bold]x \x1b]0;title\x07\x1b[2J [b"


def drawn(draw: Callable[[PlainConsole], object]) -> str:
    """What is written to a terminal."""
    file = io.StringIO()
    screen = console(file=file)
    screen.width = 200
    draw(screen)
    return file.getvalue()


def watched(out: Path) -> str:
    return drawn(lambda screen: screen.print(watch.table(Watcher(out).poll(), watch.Pace(), 0.0)))


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A folder with one run that is fine, and room for bad ones."""
    shutil.copytree(finished, tmp_path / "runs" / "fine", ignore=shutil.ignore_patterns("checkpoints", "figures"))
    return tmp_path / "runs"


def bad(out: Path, file: str, content: bytes | None) -> Path:
    """A copy of the run with one file replaced; None: by a pipe."""
    folder = Path(shutil.copytree(out / "fine", out / "bad"))
    (folder / file).unlink(missing_ok=True)
    if content is None:
        os.mkfifo(folder / file)
    else:
        (folder / file).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("recipe.yaml", b"", "recipe.yaml is damaged: it must hold keys and values"),
        ("recipe.yaml", b"pretrain: &a [*a]", "recipe.yaml is damaged: line 1: anchors"),
        ("recipe.yaml", b"\xff\x00", "recipe.yaml is damaged: it is not UTF-8 text"),
        ("recipe.yaml", None, "recipe.yaml is damaged: it is not a regular file"),
        ("metrics.jsonl", b"[1]\n", "metrics.jsonl, near its end, is damaged: it must hold keys and values"),
        ("metrics.jsonl", b'{"stage": [1], "kind": "update", "step": 1, "sequences": 1}\n', "stage: Input should be"),
        ("metrics.jsonl", b'{"stage": "pretrain", "kind": "evaluation", "step": 1, "sequences": 1}\n', "lacks greedy"),
        ("metrics.jsonl", b"\x00\xff\n", "near its end, is damaged: it is not UTF-8 text"),
        ("metrics.jsonl", None, "metrics.jsonl is damaged: it is not a regular file"),
    ],
)
def test_watch_shows_a_bad_folder_and_goes_on(out: Path, file: str, content: bytes | None, told: str) -> None:
    bad(out, file, content)
    found = {one.run_id: one for one in Watcher(out).poll()}
    assert found["fine"].state == "done"
    assert found["bad"].state == "damaged"
    assert told in found["bad"].note
    assert "1 done, 1 damaged" in watched(out)


@pytest.mark.parametrize("content", [TRAP.encode(), b"", b"\xff\xfe", b"x" * 3_000_000, None])
def test_a_reason_of_failure_may_be_anything(out: Path, content: bytes | None) -> None:
    folder = bad(out, "FAILED", content)
    (folder / "DONE").unlink()
    (one,) = (one for one in Watcher(out).poll() if one.run_id == "bad")
    assert one.state == "failed"
    text = watched(out)
    assert "\x1b" not in text
    assert "\x07" not in text
    if content == TRAP.encode():
        assert r"[/red] [bold]x \x1b]0;title\x07\x1b[2J [b" in text
    assert results_data.run(folder).status == "failed"


def test_a_folder_with_such_a_name_is_shown_too(out: Path) -> None:
    (out / "fine").rename(out / TRAP.replace("/", ""))
    text = watched(out)
    assert "\x1b" not in text
    assert r"[red] [bold]x \x1b]0" in text


def test_what_lies_about_in_the_folder_is_passed_over(out: Path) -> None:
    (out / "loop").symlink_to(out / "loop")
    (out / "nowhere").symlink_to(out / "absent")
    (out / "file").write_text("", encoding="utf-8")
    os.mkfifo(out / "pipe")
    assert [one.run_id for one in Watcher(out).poll()] == ["fine"]


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"stages": 3}', b"\xff", None])
def test_the_status_of_a_sweep_shows_a_damaged_run(finished: Path, tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    chosen = [recipes.load(str(tmp_path / "small.yaml"), seed=seed) for seed in (0, 1)]
    folder = Path(shutil.copytree(finished, tmp_path / "runs" / finished.name))
    (folder / "summary.json").unlink()
    if content is None:
        os.mkfifo(folder / "summary.json")
    else:
        (folder / "summary.json").write_bytes(content)
    first, second = status.rows(chosen, tmp_path / "runs")
    assert (first.state, second.state) == ("damaged", "missing")
    assert "summary.json is damaged" in first.note
    assert status.table([first, second])[-1] == "0 done, 0 failed, 0 begun, 1 missing, 1 damaged"


def test_responses_and_tables_hold_brackets_and_no_sequences(finished: Path) -> None:
    response = {
        "prompt": TRAP,
        "response": ["[/b]", "\x1b[31m"],
        "probabilities": [0.5, 0.5],
        "token_right": [True, False],
        "answer": True,
        "finished": True,
        "length": 2,
    }
    lines = reporter.response_lines([response])
    text = drawn(lambda screen: [screen.print(line) for line in lines])
    assert "\x1b" not in text
    assert "[/b]" in text
    assert r"\x1b[31m" in text
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8")) | {"run_id": TRAP}
    table = drawn(lambda screen: screen.print(reporter.summary_table(summary)))
    assert r"[/red] [bold]x \x1b]0;title\x07" in table
    said = io.StringIO()
    reporter.Reporter(file=said).say(TRAP)
    assert said.getvalue() == TRAP.replace("\x1b", r"\x1b").replace("\x07", r"\x07") + "\n"
