"""Rewards of a round's responses in TRL's format, and the metrics of a round under the names of kind `rl`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainlift.learning.reward import score
from chainlift.measure.text import round_metrics
from chainlift.stages.trl.context import TextContext
from chainlift.text.templates import Text, content, is_long
from chainlift.text.verdict import as_verdict

if TYPE_CHECKING:
    from chainlift.stages.kinds.trl_rl import TextReinforcementLearning

SIGNAL = ("long_share", "length_mean", "unfinished_share", "groups_all_right", "groups_all_wrong", "groups_mixed")
"""Metrics of a round that the reward function logs."""
RIGHT = "answer_right"
"""The name under which the reward function logs the share of right answers."""


class Reward:
    """TRL's reward function: grades completions, applies the stage's reward, and logs the round's metrics."""

    __name__ = "answer"

    def __init__(self, context: TextContext, stage: TextReinforcementLearning, eos: int) -> None:
        """eos: the end-of-sequence token."""
        self.context, self.stage, self.eos = context, stage, eos

    def __call__(
        self,
        prompts: list[Text],
        completions: list[Text],
        completion_ids: list[list[int]],
        answer: list[str],
        log_metric: Any = None,
        **columns: Any,
    ) -> list[float]:
        """Rewards of completions."""
        texts = [content(completion) for completion in completions]
        grades = self.context.grader.grade_all(texts, answer)
        finished = [self.eos in ids for ids in completion_ids]
        template = self.context.task.settings.template
        verdict = as_verdict(
            [grade.is_right and ended for grade, ended in zip(grades, finished, strict=True)],
            [is_long(text, template) for text in texts],
            finished,
            [len(ids) - ended for ids, ended in zip(completion_ids, finished, strict=True)],
        )
        rewards = score(verdict, self.stage.reward)
        if log_metric is not None:
            log_metric(RIGHT, float(verdict.answer_correct.double().mean()))
            for name, value in round_metrics(verdict, rewards, self.stage.group_size).items():
                log_metric(name, value)
        return rewards.tolist()


def metrics(logs: dict[str, float]) -> dict[str, float]:
    """Recorded metrics of an update, under the names of kind `rl`; those of samples describe the policy before it."""
    signal = {key: logs[key] for key in SIGNAL}
    names = {"entropy": "entropy", "clip_fraction": "clip_ratio/region_mean", "kl": "kl"}
    of_trl = {ours: logs[theirs] for ours, theirs in names.items() if theirs in logs}
    update = {"loss": logs["loss"], "grad_norm": logs["grad_norm"], "lr": logs["learning_rate"]}
    share = {"reward_mean": logs["reward"], "accuracy": logs[RIGHT], "kept_share": logs["groups_mixed"]}
    return share | signal | of_trl | update
