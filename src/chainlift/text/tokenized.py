"""A task of text as a task of tokens, on which our own engine trains: problems become rows of a tokenizer's ids.

Prompts differ in length and are padded on the left with a token that models mask. The training problems are a finite
set, through which next-token prediction goes in epochs (tasks/mixture.py); measurements draw test problems. Training
problems with a response above `max_tokens` tokens are left out. A test problem stays, and a solution that is too long
is cut, so that it is unfinished and not right.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from chainlift import distributed
from chainlift.tasks.base import Verdict, response_lengths
from chainlift.tasks.lengths import prompt_lengths
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask
from chainlift.text.templates import content, is_long, long_prefix
from chainlift.text.tokenization import TokenizedProblems, fitting, key, shortened, tokenize
from chainlift.text.verdict import as_verdict
from chainlift.text.vocabulary import TextVocabulary

UNKNOWN = Problem("-", "-", "0")


class TokenizedTask:
    """A task of text with a tokenizer, under the protocol of tasks of symbols (tasks/base.py)."""

    masks_padding = True
    has_chains = True

    def __init__(self, text_task: TextTask, tokenizer: Any, vocabulary_size: int | None = None) -> None:
        """Problems are loaded and tokenized at their first use; vocabulary_size: tokens of the model, if more."""
        self.text_task, self.settings, self.draws_held_out = text_task, text_task.settings, False
        self.vocabulary = TextVocabulary.of(tokenizer, vocabulary_size)
        self.padding: int = tokenizer.pad_token_id
        self.long_length: int = text_task.settings.max_tokens - 1
        self.chance, self.is_held_out = text_task.chance, text_task.is_held_out
        self.grader = text_task.new_grader()
        self._splits = _Splits(text_task, tokenizer, text_task.settings.max_tokens)

    def held_out(self) -> TokenizedTask:
        """The same task on the test problems; both share the problems and the grader."""
        held_out_task = copy.copy(self)
        held_out_task.draws_held_out = True
        return held_out_task

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, one of transformers."""
        return self.vocabulary.tokenizer

    @property
    def prompt_length(self) -> int:
        """Tokens of the longest prompt of this task's split."""
        return self._problems.prompts.shape[1]

    @property
    def longest_question(self) -> str:
        """The question of the longest prompt of both splits."""
        longest = max((self._splits.train, self._splits.test), key=lambda problems: int(problems.lengths.max()))
        return longest.problems[int(longest.lengths.argmax())].question

    @property
    def short_length(self) -> int:
        """Tokens of the longest short response of this task's split, without EOS."""
        return max(map(len, self._problems.short)) - 1

    @property
    def num_problems(self) -> int:
        """Number of problems of this task's split."""
        return len(self._problems.problems)

    @property
    def num_left_out(self) -> int:
        """Number of training problems that are left out because a response has more than `max_tokens` tokens."""
        return self._splits.train.num_left_out

    @property
    def num_train(self) -> int:
        """Number of training problems."""
        return len(self._splits.train.problems)

    def train_prompts(self, indices: Tensor) -> Tensor:
        """The prompts (N, T) of the training problems with the numbers `indices` (N,)."""
        return self._splits.train.prompts[indices]

    def train_gold(self, indices: Tensor, *, long: bool) -> Tensor:
        """Their solutions and answers, or the answers alone, with EOS; equal questions keep their own solutions."""
        forms = self._splits.train.forms(long=long)
        return self._padded([forms[row] for row in indices.tolist()])

    def mean_tokens(self, p_cot: float) -> float:
        """Mean prompt and response tokens of a training demonstration that is long with probability p_cot."""
        train = self._splits.train
        total = int(train.lengths.sum()) + p_cot * sum(map(len, train.long)) + (1 - p_cot) * sum(map(len, train.short))
        return total / self.num_train

    @property
    def opening(self) -> Tensor:
        """Token ids (O,) with which every long response and no short one begins; O = 0 if there are none."""
        return self._splits.opening

    def prompts(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n prompts (n, prompt_length); a problem comes again only after all others of the split."""
        rounds = max(-(-n // self.num_problems), 1)
        order = torch.cat([torch.randperm(self.num_problems, generator=generator) for _ in range(rounds)])
        return self._problems.prompts[order[:n]]

    def gold(self, prompts: Tensor, *, long: bool) -> Tensor:
        """The solution and the answer, or the answer alone, with EOS; what is too long is cut and has none."""
        rows = [problems.forms(long=long)[row] for problems, row in self._entries(prompts)]
        return self._padded(rows).to(prompts.device)

    def verify(self, prompts: Tensor, responses: Tensor) -> Verdict:
        """The grader's verdict; a collective, in which one process grades the same responses for all."""
        length, finished = response_lengths(responses, self.vocabulary.eos)
        texts, answers = self.vocabulary.texts(responses, length), [p.answer for p in self.problems_of(prompts)]
        grades = distributed.run_on_rank0(lambda: self.grader.grade_all(texts, answers))
        ended = finished.tolist()
        return as_verdict(
            [grade.is_right and end for grade, end in zip(grades, ended, strict=True)],
            [is_long(text, self.settings.template) for text in texts],
            ended,
            length.tolist(),
            device=responses.device,
        )

    def problems_of(self, prompts: Tensor) -> list[Problem]:
        """The problem of each prompt (N, T), of either split; ValueError for any other prompt."""
        return [problems.problems[row] for problems, row in self._entries(prompts)]

    def asking(self, question: str) -> TokenizedTask:
        """The task of one held-out question, whose answer is not known, so that its verdicts mean nothing."""
        asking, text_task = copy.copy(self), copy.copy(self.text_task)
        vars(text_task)["problems"] = ([UNKNOWN], [replace(UNKNOWN, question=question)])  # instead of those it loads
        asking.text_task = text_task
        asking._splits = _Splits(text_task, self.tokenizer, self.settings.max_tokens)
        return asking.held_out()

    def _padded(self, responses: list[Tensor]) -> Tensor:
        """Responses (N, R), padded with EOS."""
        if not responses:
            return torch.zeros(0, 1, dtype=torch.long)
        return pad_sequence(responses, batch_first=True, padding_value=self.vocabulary.eos)

    def close(self) -> None:
        """End the grader's workers; a task that is used again starts new ones."""
        self.grader.close()

    @property
    def _problems(self) -> TokenizedProblems:
        """The split from which this task draws."""
        return self._splits.test if self.draws_held_out else self._splits.train

    def _entries(self, prompts: Tensor) -> list[tuple[TokenizedProblems, int]]:
        """(split, row) of each prompt, which is looked for in this task's split first."""
        lengths, entries = prompt_lengths(self, prompts).tolist(), []
        for prompt, length in zip(prompts.cpu(), lengths, strict=True):
            name = key(prompt[len(prompt) - length :])
            problems = self._problems
            if name not in problems.rows:
                problems = self._splits.train if self.draws_held_out else self._splits.test
            if name not in problems.rows:
                raise ValueError("this prompt is not one of the task's problems, so that its answer is not known")
            entries.append((problems, problems.rows[name]))
        return entries


class _Splits:
    """The tokenized problems of both splits, each made at its first use."""

    def __init__(self, task: TextTask, tokenizer: Any, max_tokens: int) -> None:
        self._task, self._tokenizer, self._max_tokens = task, tokenizer, max_tokens

    @functools.cached_property
    def all_train(self) -> TokenizedProblems:
        """All training problems."""
        return tokenize(self._task, self._task.problems[0], self._tokenizer)

    @functools.cached_property
    def train(self) -> TokenizedProblems:
        """The training problems whose responses fit."""
        return fitting(self.all_train, self._max_tokens)

    @functools.cached_property
    def test(self) -> TokenizedProblems:
        """All test problems."""
        return shortened(tokenize(self._task, self._task.problems[1], self._tokenizer), self._max_tokens)

    @functools.cached_property
    def opening(self) -> Tensor:
        """The tokens of the (first) marker that long training responses share, if no short one begins with them."""
        task, opening = self._task, long_prefix(self._task.settings.template)
        completions = [content(task.completion(problem, long=True)) for problem in self.all_train.problems]
        marked = [long for long, text in zip(self.all_train.long, completions, strict=True) if text.startswith(opening)]
        if not opening or not marked:
            return torch.zeros(0, dtype=torch.long)
        first, length = marked[0], 0
        while length < len(first) and self._is_opening(first[: length + 1], opening.strip(), marked):
            length += 1
        tokens = first[:length]
        return tokens[:0] if any(_begins(short, tokens) for short in self.all_train.short) else tokens

    def _is_opening(self, tokens: Tensor, opening: str, marked: list[Tensor]) -> bool:
        """Whether tokens begin the opening and all marked responses."""
        text = self._tokenizer.decode(tokens.tolist()).strip()
        return opening.startswith(text) and all(_begins(long, tokens) for long in marked)


def _begins(response: Tensor, tokens: Tensor) -> bool:
    """Whether a response begins with these tokens."""
    return torch.equal(response[: len(tokens)], tokens)
