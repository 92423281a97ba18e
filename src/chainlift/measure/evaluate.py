"""Evaluation of a model on prompts, greedy and sampled: accuracy, length, long share, chain exactness, pass@k.

Accuracy and long share come with n and a 95 % Wilson interval (docs/glossary.md has all keys). Evaluation prompts have
their own stream, named by the stage and step. So an evaluation sees training prompts only by chance, and shifts no
other stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from chainlift import distributed
from chainlift.learning import parallel
from chainlift.learning.draft import Draft
from chainlift.learning.draws import LARGE_VOCABULARY
from chainlift.learning.rollout import Rollout, join, take_groups
from chainlift.measure import decision, exact, forms
from chainlift.measure.statistics import pass_at_k, wilson
from chainlift.models.model import Model
from chainlift.models.protocol import Cache, SequenceModel, split_prompts
from chainlift.seeding import stream
from chainlift.settings import Settings
from chainlift.tasks.base import Opens, Resumes, Task, Verdict, has_chains, held_out
from chainlift.tasks.lengths import masks_padding, prompt_lengths

ROWS_AT_ONCE = 1024
CACHE_BYTES = 2**31  # of the responses that are sampled at once: bounds memory


class EvaluateSettings(Settings):
    """Settings of evaluations: how much is measured, and how often."""

    prompts: int = Field(default=2048, ge=1)
    """Fresh prompts at the beginning of RL and at the end of each stage."""
    every: int = Field(default=50, ge=1)
    """Updates of next-token prediction between two evaluations."""
    every_rounds: int = Field(default=2, ge=1)
    """RL rounds between two evaluations."""
    during: int = Field(default=256, ge=1)
    """Fresh prompts of an evaluation inside a stage."""
    pass_at_k_prompts: int = Field(default=128, ge=0)
    """Prompts for pass@k at the end of a stage; 0: no pass@k."""
    pass_at_k_samples: int = Field(default=16, ge=1)
    """Samples per prompt for pass@k."""


@dataclass(frozen=True)
class Answers:
    """Responses to prompts with their verdicts, row by row."""

    rollout: Rollout
    verdict: Verdict

    def take_groups(self, groups: Tensor) -> Answers:
        """The responses to some prompts (P',), with all their samples."""
        group_size = len(self.rollout.rows) // len(self.rollout.prompts)
        rows = (groups[:, None] * group_size + torch.arange(group_size, device=groups.device)).flatten()
        return Answers(take_groups(self.rollout, groups), self.verdict.take(rows))

    @staticmethod
    def join(parts: Sequence[Answers], eos: int) -> Answers:
        """The responses of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        return Answers(join([part.rollout for part in parts], eos), Verdict.join([part.verdict for part in parts]))


def answer(
    model: SequenceModel,
    task: Task,
    prompts: Tensor,
    *,
    group_size: int = 1,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    cache: Cache | None = None,
) -> Answers:
    """Greedy responses to prompts (P, T), or with a generator `group_size` sampled responses to each.

    Processes that were launched together sample one share each, and all of them return the whole. cache: of this
    process's share of the prompts.
    """
    device = next(model.parameters()).device
    prompts = prompts.to(device)
    rollout = parallel.sample_together(
        model,
        prompts,
        eos=task.vocabulary.eos,
        max_tokens=task.long_length + 1,
        group_size=group_size,
        temperature=temperature,
        generator=generator,
        cache=cache,
        # With a large vocabulary reading drafts takes gigabytes, and samples in words seldom agree with a gold chain.
        draft=_draft(task, prompts) if has_chains(task) and task.vocabulary.size <= LARGE_VOCABULARY else None,
    )
    if masks_padding(task):
        rollout = replace(rollout, prompt_lengths=prompt_lengths(task, rollout.prompts))
    return Answers(rollout, task.verify(rollout.row_prompts, rollout.responses))


def _draft(task: Task, prompts: Tensor) -> Draft:
    """The gold chains as drafts, tried on responses that have grown longer than the short form."""
    resume = task.resume if isinstance(task, Resumes) else None
    return Draft(task.gold(prompts, long=True), start=task.short_length + 1, resume=resume)


@torch.no_grad()
def measure(
    model: Model,
    task: Task,
    num_prompts: int,
    *,
    seed: int,
    name: str,
    step: int,
    temperature: float = 1.0,
    pass_at_k_prompts: int = 0,
    pass_at_k_samples: int = 16,
    with_forced: bool = False,
    on_training: bool = False,
) -> dict[str, Any]:
    """{greedy, sampled}, with {decision} for a task with chains and {exact} for a Markov model, on evaluation prompts.

    The prompts come from the streams `name`/... at `step`. They are held-out prompts if the task has some, unless
    `on_training`; of a finite task no prompt is measured twice. with_forced: adds {forced_long, long_prefix} (forms.py)
    for a task whose long responses have an opening of their own.
    """
    task = task if on_training else held_out(task)
    num_problems = getattr(task, "num_problems", None)  # isinstance(task, Finite) would ask for training prompts too
    if num_problems is not None:
        num_prompts, pass_at_k_prompts = (min(n, num_problems) for n in (num_prompts, pass_at_k_prompts))
    prompts = task.prompts(num_prompts, stream(seed, f"{name}/prompts", step))
    draws = stream(seed, f"{name}/samples", step)
    device = next(model.parameters()).device
    opening = task.opening if isinstance(task, Opens) and with_forced and len(task.opening) else None
    greedy, sampled, odds, lengths, forced, begins = [], [], [], [], [], []
    for chunk in prompts.to(device).split(rows_at_once(model, task)):
        local = chunk[distributed.shard(len(chunk))]
        cache = model.prefill(split_prompts(local)[0]) if len(local) else Cache([])  # for all but forced answers
        greedy.append(answer(model, task, chunk, cache=cache).verdict)
        lengths.append(prompt_lengths(task, chunk))
        sampled.append(answer(model, task, chunk, temperature=temperature, generator=draws, cache=cache).verdict)
        if has_chains(task):
            odds.append(parallel.whole_rows(decision.log_odds(model, task, local, cache) if len(local) else {}))
        if opening is not None:
            forced.append(forms.forced_long(model, task, chunk, opening))
            likely = forms.opening_probability(model, local, opening, cache, temperature) if len(local) else {}
            begins.append(parallel.whole_rows(likely)["probability"])
    table: dict[str, Any] = {"greedy": describe(greedy), "sampled": describe(sampled)}
    if isinstance(task, Opens):
        for mode, verdicts in (("greedy", greedy), ("sampled", sampled)):
            table[mode] |= forms.by_form(Verdict.join(verdicts))
    if forced:
        table["forced_long"] = {key: value for key, value in describe(forced).items() if key in forms.FORCED_LONG_KEYS}
        table["long_prefix"] = forms.describe_probability(torch.cat(begins), temperature)
    all_lengths = torch.cat(lengths)
    if len(all_lengths.unique()) > 1 and not masks_padding(task):
        for mode, verdicts in (("greedy", greedy), ("sampled", sampled)):
            table[mode]["by_prompt_length"] = by_prompt_length(verdicts, all_lengths)
    table["sampled"]["temperature"] = temperature
    if odds:
        table["decision"] = decision.describe(odds)
    if model.is_markov:
        generator = stream(seed, f"{name}/exact", step)
        table["exact"] = exact.measure(model, task, num_prompts, generator=generator, temperature=temperature)
    if pass_at_k_prompts:
        num_right = []
        per_chunk = max(rows_at_once(model, task) // pass_at_k_samples, 1)
        for chunk in task.prompts(pass_at_k_prompts, stream(seed, f"{name}/pass-at-k", step)).split(per_chunk):
            groups = answer(model, task, chunk, group_size=pass_at_k_samples, temperature=temperature, generator=draws)
            num_right.append(groups.verdict.answer_correct.view(len(chunk), -1).sum(dim=1).cpu().numpy())
        ks = [2**i for i in range(pass_at_k_samples.bit_length()) if 2**i <= pass_at_k_samples]
        estimates = pass_at_k(np.concatenate(num_right), pass_at_k_samples, ks)
        table["sampled"]["pass_at_k"] = {str(k): value for k, value in estimates.items()}
        table["sampled"]["pass_at_k_n"] = pass_at_k_samples
        table["sampled"]["pass_at_k_prompts"] = pass_at_k_prompts
    return table


def rows_at_once(model: Model, task: Task) -> int:
    """Responses that are sampled at once: fewer where their caches are large."""
    row = type(model).cache_bytes(model.settings, 1, task.prompt_length + task.long_length + 1)
    return max(min(ROWS_AT_ONCE, int(CACHE_BYTES / max(row, 1.0))), 1)


def by_prompt_length(verdicts: list[Verdict], lengths: Tensor) -> dict[str, dict[str, Any]]:
    """{length: {n, accuracy, accuracy_ci95}} from verdicts on prompts with `lengths` (N,)."""
    right = torch.cat([verdict.answer_correct for verdict in verdicts])
    table = {}
    for length in lengths.unique().tolist():
        right_here = right[lengths == length]
        count, n = int(right_here.sum()), len(right_here)
        table[str(length)] = {"n": n, "accuracy": count / n, "accuracy_ci95": list(wilson(count, n))}
    return table


def describe(verdicts: list[Verdict]) -> dict[str, Any]:
    """Measured quantities from verdicts, under the names of docs/glossary.md."""

    def values_of(field: str) -> np.ndarray:
        return torch.cat([getattr(verdict, field) for verdict in verdicts]).cpu().numpy()

    right, long, length, chain = (
        values_of("answer_correct"),
        values_of("long"),
        values_of("length"),
        values_of("chain_correct"),
    )
    n, num_long, steps = len(right), int(long.sum()), int(values_of("steps").sum())
    lengths, counts = np.unique(length, return_counts=True)
    digits = (
        {} if verdicts[0].digits_right is None else {"digit_accuracy": values_of("digits_right").mean(axis=0).tolist()}
    )
    return {
        "n": n,
        "accuracy": float(right.mean()),
        "accuracy_ci95": list(wilson(int(right.sum()), n)),
        "length_median": float(np.median(length)),
        "length_mean": float(length.mean()),
        "long_share": num_long / n,
        "long_share_ci95": list(wilson(num_long, n)),
        "chain_exactness": float((chain & long).sum() / num_long) if num_long else None,
        "step_accuracy": float(values_of("steps_right").sum() / steps) if steps else None,
        "unfinished_share": float(1 - values_of("finished").mean()),
        **digits,
        "length_histogram": {str(value): int(count) for value, count in zip(lengths, counts, strict=True)},
    }
