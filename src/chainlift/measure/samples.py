"""Single responses, token by token, as they are kept in rollouts.jsonl and shown to people."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from chainlift.measure.evaluate import Answers
from chainlift.tasks.base import Task


def records(
    task: Task, answers: Answers, rows: list[int], *, rewards: Tensor | None = None, advantages: Tensor | None = None
) -> list[dict[str, Any]]:
    """One record a row: prompt, response tokens with their probabilities and whether each is right, and the verdict."""
    rollout, verdict = answers.rollout, answers.verdict
    found = []
    for row in rows:
        prompt = rollout.prompts[rollout.rows[row]]
        count = int(rollout.num_actions[row])
        response = rollout.responses[row, :count]
        gold = task.gold(prompt[None].cpu(), long=bool(verdict.long[row]))[0]
        # A valid chain that is not the gold one has no wrong token; where it went wrong, gold is what to compare with.
        valid = bool(verdict.chain[row])
        right = [valid or (t < len(gold) and int(token) == int(gold[t])) for t, token in enumerate(response.tolist())]
        found.append(
            {
                "prompt": task.vocabulary.decode(prompt),
                "response": task.vocabulary.strings(response),
                "probabilities": [round(p, 4) for p in rollout.logp[row, :count].exp().tolist()],
                "token_right": right,
                "gold": task.vocabulary.strings(gold[:-1]),
                "answer": bool(verdict.answer[row]),
                "chain": bool(verdict.chain[row]),
                "finished": bool(verdict.finished[row]),
                "length": int(verdict.length[row]),
                "reward": None if rewards is None else float(rewards[row]),
                "advantage": None if advantages is None else float(advantages[row]),
            }
        )
    return found
