"""Write a recipe's data as a Hugging Face data set: demonstrations, prompts with answers, their reward, a card.

demonstrations.parquet      prompt, completion, is_long: the format of TRL's SFTTrainer
train.parquet test.parquet  prompt, answer, and the columns of verl: chat, data_source, ability, reward_model,
                            extra_info
reward.py                   the reward, with the call signatures of TRL and verl
README.md                   the card
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import yaml
from torch import Tensor

from chainlift.interop.new_folder import new_folder
from chainlift.reading import StrPath
from chainlift.seeding import stream
from chainlift.stages.recipe import Recipe
from chainlift.tasks import mixture, registry
from chainlift.tasks.base import Task, held_out, output_mask
from chainlift.text import demonstrations
from chainlift.text import task as text_tasks
from chainlift.text.task import limited
from chainlift.text.templates import Text


@dataclass(frozen=True)
class DataSet:
    """The content of a data set, before it is written."""

    name: str
    title: str
    demonstrations: list[dict[str, Any]]
    """Rows with prompt, completion, is_long."""
    problems: dict[str, list[tuple[Text, str]]]
    """{split: (prompt, answer) of each problem}."""
    reward: str
    """Python code of reward.py that defines `reward`."""
    card_lines: list[str]
    """Lines of the card about this data set."""


def from_recipe(recipe: Recipe, size: int | None = None, test_size: int | None = None) -> DataSet:
    """The data of a recipe: the problems of a task of text, or fresh demonstrations and prompts of one of symbols.

    size, test_size: the most training and test prompts; None: all problems, or 10,000 and 1,000.
    """
    if recipe.is_text:
        return _from_text(recipe, size, test_size)
    return _from_symbols(recipe, size or 10_000, test_size or 1_000)


def _from_text(recipe: Recipe, size: int | None, test_size: int | None) -> DataSet:
    """The mixture that a run of the recipe draws, and the problems with their answers."""
    task, settings = text_tasks.of(recipe.task), recipe.task.model_dump(mode="json")
    train, test = limited(task.problems[0], size), limited(task.problems[1], test_size)
    mark, p_cot = settings["template"]["answer_mark"], recipe.mixture.last
    rows = demonstrations.rows(task, train, p_cot, seed=recipe.seed)
    return DataSet(
        name=recipe.name,
        title=recipe.title or recipe.name,
        demonstrations=[dict(row) for row in rows],
        problems={
            split: [(task.prompt(problem), problem.answer) for problem in problems]
            for split, problems in (("train", train), ("test", test))
        },
        reward=_reward_code(recipe, settings),
        card_lines=[
            f"Source: `{json.dumps(settings)}`; p_cot {p_cot:g}; seed {recipe.seed}. The source's license also holds "
            "for this data.",
            f"The reward ({_reward_name(recipe)}) counts an answer as right if the text behind `{mark}` (or in a box, "
            f"or the last number) equals `answer`, by the grader `{settings['grader']}`. A response that was cut off "
            "behind a right answer counts as right.",
        ],
    )


def _reward_code(recipe: Recipe, settings: dict[str, Any]) -> str:
    """Python code that defines the reward."""
    constructor = f"TextReward({settings!r}, {_reward_name(recipe)!r})"
    return f"from chainlift.interop.reward import TextReward\n\nreward = {constructor}"


def _reward_name(recipe: Recipe) -> str:
    """The reward of the recipe's first stage that has one; `end_to_end` without."""
    rewards = (getattr(stage, "reward", None) for stage in recipe.stages.values())
    return next((name for name in rewards if name is not None), "end_to_end")


def _from_symbols(recipe: Recipe, size: int, test_size: int) -> DataSet:
    """Fresh demonstrations and prompts, from random streams of the recipe's seed that no run uses."""
    task, seed = registry.build(recipe.task), recipe.seed
    batch = mixture.draw(task, recipe.mixture, size, seed=seed, name="dataset/demonstrations", step=0)
    rows = [
        {
            "prompt": task.vocabulary.decode(prompt),
            "completion": _response(task, response),
            "is_long": is_long,
        }
        for part, is_long in ((batch.short, False), (batch.long, True))
        for prompt, response in zip(part.prompts, part.responses, strict=True)
    ]
    order = torch.randperm(size, generator=stream(seed, "dataset/order")).tolist()  # as rows are sorted by form
    splits = {
        "train": task.prompts(size, stream(seed, "dataset/train")),
        "test": held_out(task).prompts(test_size, stream(seed, "dataset/test")),
    }
    settings = recipe.task.model_dump(mode="json")
    train_prompts = {task.vocabulary.decode(prompt) for prompt in splits["train"]}
    num_repeated = sum(task.vocabulary.decode(prompt) in train_prompts for prompt in splits["test"])
    return DataSet(
        name=recipe.name,
        title=recipe.title or recipe.name,
        demonstrations=[rows[i] for i in order],
        problems={
            split: [
                (task.vocabulary.decode(prompt), _response(task, answer).strip())
                for prompt, answer in zip(prompts, task.gold(prompts, long=False), strict=True)
            ]
            for split, prompts in splits.items()
        },
        reward=_reward_code(recipe, settings),
        card_lines=[
            f"Task: `{json.dumps(settings)}`; p_cot {recipe.mixture.p_cot}; seed {seed}. Tokens: "
            f"`{' '.join(task.vocabulary.tokens)}`; `chainlift export` writes a tokenizer for them.",
            f"A response has at most {task.long_length} tokens and the end of the sequence: generate at most "
            f"{task.long_length + 1}. `answer` is the short form; the reward ({_reward_name(recipe)}) reads the "
            "prompt.",
            f"{num_repeated:,} of the {test_size:,} test prompts occur in train.parquet.",
        ],
    )


def write(data: DataSet, folder: StrPath) -> None:
    """Write a data set into a new or empty folder; ValueError if it is not empty, or without the package `datasets`."""
    try:
        from datasets import Dataset, disable_progress_bars
    except ImportError as error:
        raise ValueError("a data set needs the package datasets: pip install 'chainlift[llm]'") from error
    disable_progress_bars()
    with new_folder(folder) as folder:
        Dataset.from_list(data.demonstrations).to_parquet(str(folder / "demonstrations.parquet"))
        for split, problems in data.problems.items():
            rows = [_row(data.name, split, i, *problem) for i, problem in enumerate(problems)]
            Dataset.from_list(rows).to_parquet(str(folder / f"{split}.parquet"))
        (folder / "reward.py").write_text(_reward_file(data), encoding="utf-8")
        (folder / "README.md").write_text(_card(data), encoding="utf-8")


def _row(name: str, split: str, index: int, prompt: Text, answer: str) -> dict[str, Any]:
    """The row of a prompt with its answer: `prompt` and `answer` for TRL, the other columns for verl."""
    chat = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return {
        "prompt": prompt,
        "answer": answer,
        "chat": chat,
        "data_source": f"chainlift/{name}",
        "ability": "reasoning",
        "reward_model": {"style": "rule", "ground_truth": answer},
        "extra_info": {"split": split, "index": index, "prompt": chat[-1]["content"]},
    }


def _response(task: Task, response: Tensor) -> str:
    """A response as text that follows its prompt, without EOS."""
    tokens = response[output_mask(response[None], task.vocabulary.eos)[0]][:-1]
    return task.vocabulary.separator + task.vocabulary.decode(tokens)


def _reward_file(data: DataSet) -> str:
    """The content of reward.py."""
    return f'''"""The reward of this data set; needs chainlift. TRL: reward_funcs=reward. verl: compute_score."""

{data.reward}
compute_score = reward.compute_score
'''


def _card(data: DataSet) -> str:
    """The content of README.md: the data set's card, with the YAML header of the Hugging Face hub."""
    share = sum(row["is_long"] for row in data.demonstrations) / max(1, len(data.demonstrations))
    configs = [
        {"config_name": "demonstrations", "data_files": "demonstrations.parquet"},
        {"config_name": "problems", "data_files": [{"split": s, "path": f"{s}.parquet"} for s in data.problems]},
    ]
    header = {"pretty_name": data.title, "tags": ["chainlift", "chain-of-thought"], "configs": configs}
    counts = ", ".join(f"{len(problems):,} in `{split}.parquet`" for split, problems in data.problems.items())
    return f"""---
{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---

# {data.title}

A mixture of short demonstrations (the answer alone) and long ones (with the chain of thought), and prompts for
reinforcement learning, written by chainlift from the recipe `{data.name}`.

- `demonstrations.parquet`: {len(data.demonstrations):,} rows `prompt`, `completion`, `is_long`; {share:.2%} are long.
- Prompts with answers: {counts}.
  Columns `prompt`, `answer` for TRL; `chat`, `data_source`, `ability`, `reward_model`, `extra_info` for verl.
- `reward.py`: the reward.
{_list(data.card_lines)}

## Use

```python
from datasets import load_dataset
from reward import reward  # reward.py of this folder; needs chainlift

demonstrations = load_dataset("parquet", data_files="demonstrations.parquet", split="train")  # trl.SFTTrainer
prompts = load_dataset("parquet", data_files="train.parquet", split="train")  # trl.GRPOTrainer(reward_funcs=reward)
```

verl: `data.train_files=train.parquet data.val_files=test.parquet data.prompt_key=chat
custom_reward_function.path=reward.py` (from verl's documentation; we have not run it).
"""


def _list(lines: Iterable[str]) -> str:
    """Lines as a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)
