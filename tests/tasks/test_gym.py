"""reasoning-gym as a source: the real package, its real scorers."""

import re
import sys
from pathlib import Path

import pytest
import torch

from chainlift.seeding import stream
from chainlift.stages import recipe
from chainlift.tasks import registry
from chainlift.tasks.base import Task, held_out
from chainlift.tasks.gym import GymSettings, GymTask

OPTIONS = {"min_terms": 2, "max_terms": 3, "max_digits": 2}


@pytest.fixture
def chained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GymTask:
    """chain_sum with its expression as the chain."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gym_chains.py").write_text(
        "def expression(entry):\n    return entry['metadata']['expression'] + ' ='\n", encoding="utf-8"
    )
    sys.modules.pop("gym_chains", None)
    return GymTask(GymSettings(options=OPTIONS, chain="gym_chains:expression"))


def text_of(task: Task, ids: torch.Tensor) -> str:
    return task.vocabulary.decode(ids).replace("<eos>", "").replace("░", "")


@pytest.mark.parametrize("long", [False, True])
def test_gold_is_right_and_changes_are_not(chained: GymTask, long: bool) -> None:
    prompts = chained.prompts(32, stream(0, "x"))
    gold = chained.gold(prompts, long=long)
    verdict = chained.verify(prompts, gold)
    assert verdict.answer_correct.all()
    assert verdict.chain_correct.all()
    assert (verdict.long == long).all()
    assert torch.equal(verdict.steps_right, verdict.steps)
    wrong = gold.clone()
    at = verdict.length[:, None] - 1
    nine, eight = (chained.vocabulary.tokens.index(digit) for digit in "98")
    wrong.scatter_(1, at, torch.where(gold.gather(1, at) == nine, eight, nine))
    assert not chained.verify(prompts, wrong).answer_correct.any()
    assert not chained.verify(prompts, gold[:, :1]).finished.any()


def test_texts(chained: GymTask) -> None:
    prompts = chained.prompts(1, stream(3, "x"))
    question = text_of(chained, prompts[0])
    found = re.fullmatch(r"State␣the␣final␣answer␣to␣the␣following␣arithmetic␣problem:␣(.*)␣=", question)
    assert found is not None
    expression = found[1].replace("␣", " ")
    assert text_of(chained, chained.gold(prompts, long=True)[0]) == f"{found[1]}␣=→{eval(expression)}"
    assert text_of(chained, chained.gold(prompts, long=False)[0]) == str(eval(expression))


def test_an_answer_behind_a_wrong_chain_is_right_but_no_gold(chained: GymTask) -> None:
    prompts = chained.prompts(8, stream(0, "x"))
    gold = chained.gold(prompts, long=True)
    changed = gold.clone()
    changed[:, 0] = chained.vocabulary.tokens.index("z")
    verdict = chained.verify(prompts, changed)
    assert verdict.answer_correct.all()
    assert not verdict.chain_correct.any()
    assert torch.equal(verdict.steps_right, verdict.steps - 1)


def test_held_out_questions_are_never_trained_on(chained: GymTask) -> None:
    other = held_out(chained)
    seen = {text_of(chained, row) for row in chained.prompts(2000, stream(0, "train"))}
    kept = {text_of(chained, row) for row in other.prompts(500, stream(0, "test"))}
    assert not seen & kept
    assert len(kept) > 100
    prompts = other.prompts(4, stream(1, "x"))
    assert chained.verify(prompts, other.gold(prompts, long=False)).answer_correct.all()


@pytest.mark.parametrize("dataset", ["spell_backward", "basic_arithmetic", "letter_counting", "number_sequence"])
def test_other_data_sets(dataset: str) -> None:
    task = GymTask(GymSettings(dataset=dataset, question_length=400, answer_length=60))
    prompts = task.prompts(20, stream(0, "x"))
    assert prompts.shape == (20, 400)
    assert task.verify(prompts, task.gold(prompts, long=False)).answer_correct.all()


def test_without_chains_there_are_only_short_demonstrations() -> None:
    task = GymTask(GymSettings())
    with pytest.raises(ValueError, match=r"task\.chain is null"):
        task.gold(task.prompts(2, stream(0, "x")), long=True)
    with pytest.raises(ValueError, match=r"mixture\.p_cot must be 0"):
        recipe.load("tiny", ["task={name: reasoning_gym}"])
    assert recipe.load("tiny", ["task={name: reasoning_gym}", "mixture.p_cot=0"]).mixture.p_cot == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("dataset: nothing", "cannot make the data set 'nothing': Dataset 'nothing' not registered"),
        ("options: {nothing: 1}", "unexpected keyword argument 'nothing'"),
        ("options: {min_terms: 5, max_terms: 2}", "cannot make the data set 'chain_sum'"),
        ("chain: nowhere:f", "'nowhere:f' cannot be imported"),
    ],
)
def test_bad_settings_are_one_line(settings: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as found:
        recipe.load("tiny", [f"task={{name: reasoning_gym, {settings}}}", "mixture.p_cot=0"])
    assert "\n" not in str(found.value)


def test_questions_that_never_fit_are_said_so() -> None:
    task = GymTask(GymSettings(question_length=5))
    with pytest.raises(ValueError, match=r"raise task\.question_length \(5\)"):
        task.prompts(1, stream(0, "x"))


def test_a_question_that_was_not_drawn_has_no_answer() -> None:
    task = registry.build(GymSettings())
    with pytest.raises(ValueError, match="was not drawn"):
        task.gold(task.vocabulary.encode("1␣+␣1")[None], long=False)


def test_a_missing_package_is_said_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ValueError, match=r"pip install 'chainlift\[gym\]'"):
        GymTask(GymSettings())
