"""An exported model answers ordinary text in transformers as it answers its own prompts here."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from chainlift.interop import model_card
from chainlift.measure.evaluate import answer
from chainlift.models import families
from chainlift.models.hub import model_folder
from chainlift.models.hub.tokenizer import tokenizer
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.models.transformer.transformer import Transformer
from chainlift.seeding import stream
from chainlift.tasks import registry
from chainlift.tasks.base import Task, held_out
from chainlift.visible import visible
from tests.in_process import command

PROMPTS = 24
TASKS: dict[str, dict[str, Any]] = {
    "running_sum": {"d": 6},
    "running_sum d_min": {"d": 9, "d_min": 3},
    "running_sum marker": {"d": 9, "d_min": 3, "marker": "both"},
    "running_sum words": {"d": 9, "d_min": 3, "modulus": 12},
    "permutation": {"d": 5},
    "permutation d_min": {"d": 8, "d_min": 3, "degree": 5},
    "multiplication": {"n": 2},
    "graph_path": {},
    "graph_path reach": {"question": "reach"},
    "reasoning_gym": {"question_length": 90, "answer_length": 8},
    "reasoning_gym lines": {"dataset": "spell_backward", "question_length": 120, "answer_length": 12},
    "reasoning_gym arithmetic": {"dataset": "basic_arithmetic", "question_length": 100, "answer_length": 6},
}


def make(name: str, family: str = "gpt2") -> tuple[Transformer, Task]:
    """A small model with random weights, so that its answers depend on every token of the prompt."""
    kind = name.split()[0]
    task = registry.build(registry.settings_class(kind).model_validate({"name": kind, **TASKS[name]}))
    settings = ModelSettings.model_validate({"family": family, "layers": 2, "width": 32, "heads": 2})
    model = families.build(settings, task)
    assert isinstance(model, Transformer)
    return model.initialize(stream(0, "model")), task


def natural(task: Task, prompt: torch.Tensor) -> str:
    """A prompt as a person would write it: blanks and lines as such, nothing to fill it up."""
    padding = getattr(task, "padding", None)
    kept = prompt if padding is None else prompt[prompt != padding]
    return task.vocabulary.plain_text(task.vocabulary.decode(kept))


@pytest.mark.parametrize("name", TASKS)
def test_ordinary_text_gets_the_same_answers(name: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, task = make(name, "mistral" if " " in name else "gpt2")
    model_folder.save(model, task, tmp_path)
    theirs: Any = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    reader = AutoTokenizer.from_pretrained(tmp_path)
    prompts = held_out(task).prompts(PROMPTS, stream(0, "prompts"))
    texts = [natural(task, prompt) for prompt in prompts]
    assert len({len(text) for text in texts}) > 1 or getattr(task, "padding", None) is None
    batch = reader(texts, return_tensors="pt")
    assert torch.equal(batch["input_ids"], prompts)
    assert bool(batch["attention_mask"].all())
    generated = theirs.generate(**batch, max_new_tokens=task.long_length + 1, do_sample=False)[:, prompts.shape[1] :]
    ours = answer(model, task, prompts, generator=None).rollout
    same = 0
    for row in range(PROMPTS):
        response = ours.responses[row, : int(ours.num_actions[row])]
        own = response[response != task.vocabulary.eos]
        assert torch.equal(generated[row, : len(response)], response)
        told = reader.decode(generated[row], skip_special_tokens=True)
        same += told == task.vocabulary.plain_text(task.vocabulary.decode(own))
    assert same == PROMPTS
    assert len({tuple(row) for row in generated.tolist()}) > 1, "the answers depend on the prompt"


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("text", [" ", "\n", ",", "1, 2\n", "\t1\r\n", "é→∞", "", "a" * 500, "\x00\x1c"])
def test_no_text_makes_the_tokenizer_raise(name: str, text: str) -> None:
    """What is a token here is one there; what is none here, where it is an error, is <eos> there."""
    from tokenizers import Tokenizer

    _, task = make(name)
    found = Tokenizer.from_str(json.dumps(tokenizer(task))).encode(text).ids
    vocabulary = task.vocabulary
    assert all(0 <= token < vocabulary.size for token in found)
    try:
        own = vocabulary.encode(text).tolist()
    except ValueError:
        assert vocabulary.eos in found
        return
    padding = getattr(task, "padding", None)
    filled = [padding] * (task.prompt_length - len(own)) if padding is not None and found else []
    assert found == filled + own


@pytest.mark.parametrize("name", ["running_sum d_min", "running_sum words", "reasoning_gym"])
def test_a_prompt_with_its_response_is_the_prompts_tokens_and_the_responses(name: str) -> None:
    """Trainers tokenize prompts alone and with their completions, as data sets write them: filled up."""
    from tokenizers import Tokenizer

    _, task = make(name)
    reader = Tokenizer.from_str(json.dumps(tokenizer(task)))
    prompts = task.prompts(8, stream(0, "prompts"))
    gold = task.gold(prompts, long=False)
    for prompt, response in zip(prompts, gold, strict=True):
        own = response[response != task.vocabulary.eos]
        text = task.vocabulary.decode(prompt)
        assert reader.encode(text).ids == prompt.tolist()
        both = text + task.vocabulary.separator + task.vocabulary.decode(own)
        assert reader.encode(both).ids == [*prompt.tolist(), *own.tolist()]
        assert reader.encode(both + "<eos>").ids == [*prompt.tolist(), *own.tolist(), task.vocabulary.eos]


@pytest.mark.parametrize("name", ["running_sum d_min", "reasoning_gym"])
def test_the_lines_on_the_card_run_as_they_stand(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, task = make(name)
    model_folder.save(model, task, tmp_path)
    (tmp_path / "README.md").write_text(model_card.card("m", "pretrain-1", {}, None, task), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    capsys.readouterr()
    exec(compile(lines, "card", "exec"), {})
    prompt = held_out(task).prompts(1, stream(0, "card"))
    response = answer(model, task, prompt, generator=None).rollout.responses[0]
    own = task.vocabulary.decode(response[response != task.vocabulary.eos])
    assert capsys.readouterr().out.rstrip("\n") == task.vocabulary.plain_text(own)


def test_blanks_are_read_here_as_well() -> None:
    """A blank is a token of reasoning-gym's texts; it used to be dropped from a prompt without a word."""
    _, task = make("reasoning_gym")
    assert task.vocabulary.decode(task.vocabulary.encode("1 + 2\n=")) == "1␣+␣2⏎="
    assert task.vocabulary.plain_text("1␣+␣2⏎=") == "1 + 2\n="
    _, other = make("running_sum")
    assert other.vocabulary.decode(other.vocabulary.encode("01 10\n")) == "0110"


def test_the_card_recommends_no_code_from_elsewhere(tmp_path: Path) -> None:
    model, task = make("running_sum")
    (tmp_path / "m").mkdir()
    model_folder.save(model, task, tmp_path / "m")
    recipe = {"name": "x; rm -rf ~", "title": "a\n# b `c`", "seed": 0, "mixture": {"p_cot": 0.1}}
    recipe |= {"task": {"name": "z", "template": {}}, "stages": {"posttrain": {"kind": "trl_rl"}}}
    text = model_card.card("m", "posttrain-3", recipe, None, None)
    assert "chainlift evaluate . --recipe RECIPE" in text
    assert "\n# b" not in text
    text = model_card.card("m", "posttrain-3", {}, None, task)
    assert "`chainlift evaluate .` measures it" in text
    assert "--trust" not in text
    assert command("evaluate", tmp_path / "m", "--prompts", "8").status == 0


def test_texts_on_the_card_stay_in_their_line_and_in_their_code() -> None:
    hostile = "a`b``c\x1b[2J\u202ed"
    recipe = {"name": hostile, "title": hostile, "seed": 0, "mixture": {"p_cot": 0.1}}
    recipe |= {"task": {"name": "``", "template": {}}, "stages": {}}
    text = model_card.card("m", "posttrain-3", recipe | {"model": {"family": "transformers", "path": ""}}, None, None)
    assert r"Recipe ``` a`b``c\x1b[2J\u202ed ``` (a'b''c\x1b[2J\u202ed), seed 0" in text
    assert "It began as ` `, whose" in text
    assert "Problems: ``` `` ```." in text
    assert text == visible(text, lines=True)
    untitled = model_card.card("m", "posttrain-3", recipe | {"name": "mine", "title": ""}, None, None)
    assert "Recipe `mine`, seed 0" in untitled
