"""What prompts are is said as it is: fresh ones only where training has hardly seen any."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from chainlift.interop.model_card import card
from chainlift.report.pages import run_page
from chainlift.report.prompt_words import prompt_words
from chainlift.report.record import read
from chainlift.report.sentence import headline
from chainlift.report.terminal.reporter import summary_table
from chainlift.runs.store import RunFolder
from chainlift.stages import recipe as recipes
from chainlift.stages.summary import summarize
from chainlift.tasks import registry
from chainlift.tasks.freshness import Freshness, freshness


@pytest.mark.parametrize(
    ("held_out", "different", "share", "told"),
    [
        (True, None, 0.0, "2,048 prompts, none of them in training"),
        (False, 2**50, 2e-10, "2,048 fresh prompts"),
        (False, None, 0.0, "2,048 fresh prompts"),
        (False, 256, 1.0, "2,048 draws from the task's 256 prompts, all of which training has seen"),
        (False, 1000, 0.6323, "2,048 draws from the task's 1,000 prompts, about 63 % of which training has seen"),
        (False, 10**6, 0.9999, "2,048 draws from the task's 1,000,000 prompts, nearly all of which training has seen"),
        (False, 256, None, "2,048 draws from the task's 256 prompts"),
        (False, None, None, "2,048 prompts"),
    ],
)
def test_the_words(held_out: bool, different: int | None, share: float | None, told: str) -> None:
    assert prompt_words(Freshness(held_out, different, share).as_dict(), 2048) == told
    assert prompt_words({}, 2048) == "2,048 prompts"


def shipped(name: str, finished: Path) -> dict[str, Any]:
    """A finished run's summary with the freshness of a shipped recipe's prompts."""
    chosen = recipes.load(name)
    assert isinstance(chosen, recipes.Recipe)
    drawn = chosen.setting("pretrain.steps") * chosen.setting("pretrain.batch_size")
    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    return summary | freshness(registry.build(chosen.task), drawn).as_dict()


TOLD = {
    "tiny": "draws from the task's 256 prompts, all of which training has seen",
    "headline": "fresh prompts",
    "multiplication-2": "prompts, none of them in training",
}


@pytest.mark.parametrize("name", TOLD)
def test_terminal_page_sentence_and_card_say_it(name: str, finished: Path, tmp_path: Path) -> None:
    summary = shipped(name, finished)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary_table(summary))
    record = read(finished)
    shown = run_page.render(replace(record, summary=summary))
    texts = (
        console.export_text(),
        shown.replace("&#39;", "'"),
        headline(summary, 0.5),
        card("x", "posttrain-20", record.recipe, summary, None),
    )
    for text in texts:
        assert TOLD[name] in " ".join(text.split())
        assert ("fresh prompts" in text) == (name == "headline")


def test_a_run_counts_what_training_has_drawn(finished: Path) -> None:
    """Stage 1's 640 demonstrations and the baseline's, which draws more than the 160 prompts of RL, of 16 prompts."""
    record = read(finished)
    chosen = recipes.build(record.recipe)
    found = summarize(chosen, RunFolder(finished))
    n = 640 + max(found["posttrain"]["rollouts"] // 4, found["continued_pretrain"]["sequences"])
    assert found["prompts_seen_share"] == pytest.approx(1 - (15 / 16) ** n)
    assert "16 prompts, all of which training has seen" in prompt_words(found)
