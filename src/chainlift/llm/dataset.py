"""A language recipe's data as a Hugging Face data set (stages/dataset.py writes it)."""

from __future__ import annotations

import json

from chainlift.interop.dataset import DataSet
from chainlift.llm import mixture, sources
from chainlift.llm.problem import Problem, limited
from chainlift.llm.recipe import LlmRecipe
from chainlift.llm.templates import Text, prompt


def of_problems(recipe: LlmRecipe, size: int | None, test_size: int | None) -> DataSet:
    """The mixture as a run of the recipe draws it, and the problems with their answers.

    size, test_size: at most so many training and test problems, the same as data.train_limit and data.test_limit give;
    None: all.
    """
    train, test = sources.source(recipe.data)
    train, test = limited(train, size), limited(test, test_size)

    def asked(problem: Problem) -> tuple[Text, str]:
        return prompt(problem, recipe.template), problem.answer

    mark = recipe.template.answer_mark
    return DataSet(
        name=recipe.name,
        title=recipe.title or recipe.name,
        demonstrations=[dict(row) for row in mixture.rows(train, recipe.mixture, recipe.template, seed=recipe.seed)],
        problems={"train": [asked(problem) for problem in train], "test": [asked(problem) for problem in test]},
        reward="from chainlift.llm.answer_reward import AnswerReward\n\n"
        f"reward = AnswerReward({recipe.grader!r}, {mark!r})",
        about=[
            f"Source: `{json.dumps(recipe.data.model_dump(mode='json'))}`; template: "
            f"`{json.dumps(recipe.template.model_dump(mode='json'))}`; p_cot {recipe.mixture.p_cot:g}; "
            f"seed {recipe.seed}. The source's licence is the data's.",
            f"The reward is 1 for an answer behind `{mark}` (or in a box, or the last number) that equals `answer`, "
            f"by the grader `{recipe.grader}`, else 0. One that was cut off behind a right answer counts as right.",
        ],
    )
