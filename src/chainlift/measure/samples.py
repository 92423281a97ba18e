"""Records of single responses, token by token, for rollouts.jsonl and for display."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from chainlift.measure.evaluate import Answers
from chainlift.tasks.base import Task
from chainlift.text.tokenized import TokenizedTask


def records(
    task: Task, answers: Answers, rows: list[int], *, rewards: Tensor | None = None, advantages: Tensor | None = None
) -> list[dict[str, Any]]:
    """A record for each row: prompt, response tokens with their probabilities and correctness, and the verdict."""
    rollout, verdict = answers.rollout, answers.verdict
    result = []
    for row in rows:
        prompt = rollout.prompts[rollout.rows[row]]
        count = int(rollout.num_actions[row])
        response = rollout.responses[row, :count]
        gold = task.gold(prompt[None].cpu(), long=bool(verdict.long[row]))[0]
        if rollout.prompt_lengths is not None:
            prompt = prompt[len(prompt) - int(rollout.prompt_lengths[rollout.rows[row]]) :]
        # A valid chain may differ from the gold one and has no wrong token; any other response is compared with gold.
        valid = bool(verdict.chain_correct[row])
        is_text = isinstance(task, TokenizedTask)  # whose answers can be right in other words
        tokens = enumerate(response.tolist())
        right = [valid or (not is_text and t < len(gold) and token == int(gold[t])) for t, token in tokens]
        expected = {"expected": task.problems_of(prompt[None])[0].answer} if isinstance(task, TokenizedTask) else {}
        result.append(
            expected
            | {
                "prompt": task.vocabulary.decode(prompt),
                "response": task.vocabulary.strings(response),
                "probabilities": [round(p, 4) for p in rollout.logp[row, :count].exp().tolist()],
                "token_right": right,
                "gold": task.vocabulary.strings(gold[:-1]),
                "answer": bool(verdict.answer_correct[row]),
                "chain": bool(verdict.chain_correct[row]),
                "finished": bool(verdict.finished[row]),
                "length": int(verdict.length[row]),
                "reward": None if rewards is None else float(rewards[row]),
                "advantage": None if advantages is None else float(advantages[row]),
            }
        )
    return result
