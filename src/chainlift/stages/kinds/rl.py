"""Reinforcement learning: rollout, reward, advantage, updates, evaluate, record.

A round draws P prompts with G samples each and makes one or more updates from them. All algorithms share this loop and
differ in learning/objective.py. Lengths, rewards and shares of a round are those of its samples, so they describe the
policy before the round's updates.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator
from torch import Tensor

from chainlift.learning import parallel, sharding
from chainlift.learning.advantage import GROUP_KINDS
from chainlift.learning.optimizer import Optimizer, OptimizerSettings, apply_gradients, make_optimizer
from chainlift.learning.policy_update import PolicyBatch, accumulate_gradient
from chainlift.learning.presets import AdvantageKind, Aggregate, ClipKind, Objective, RatioKind, preset
from chainlift.learning.rollout import Rollout
from chainlift.measure.evaluate import EvaluateSettings
from chainlift.models.model import Model
from chainlift.runs.checkpoint import TrainerState
from chainlift.settings import NOT_HASHED
from chainlift.stages.failures import Interrupted
from chainlift.stages.policy.collect import collect, describe
from chainlift.stages.policy.minibatch import demonstrations_gradient, minibatch_rows, row_weights, sample_logp
from chainlift.stages.policy.preflight import preflight
from chainlift.stages.policy.rounds import Rounds
from chainlift.stages.stage import Place

if TYPE_CHECKING:
    from chainlift.stages.context import Context
    from chainlift.stages.planning.timing import Stopwatch

SHOW_EVERY = 5  # rounds between two sets of responses kept in rollouts.jsonl


class ReinforcementLearning(OptimizerSettings, Rounds):
    """Rounds of sampling, scoring and updating. Keys that are null have the values of the algorithm's preset."""

    title: str = Field(default="reinforcement learning", json_schema_extra=NOT_HASHED)
    unit: str = Field(default="sampled responses", json_schema_extra=NOT_HASHED)

    kind: str = "rl"

    algorithm: str = "grpo"
    """An algorithm of learning/presets.py, `star` or `dr_grpo` for example, or your own: `module:name`."""
    steps_per_round: int | None = Field(default=None, ge=1)
    """Updates from one round's samples; default: the algorithm's, 4 for star and 1 for the other shipped ones."""
    minibatches: int = Field(default=1, ge=1)
    """Parts into which a round's samples are shuffled, one an update."""
    lr: float = Field(default=2e-4, gt=0)
    """Peak learning rate."""
    warmup: int = Field(default=0, ge=0)
    """Updates of linear warm-up."""
    length_penalty: float = 0.0
    """Subtracted from the reward: this times length / (length of a full chain)."""
    dynamic_sampling: bool = False
    """Replace groups whose rewards, before the length penalty, are all equal by those of further prompts (DAPO)."""
    dynamic_sampling_tries: int = Field(default=4, ge=1)
    """Most batches of prompts drawn in a round of dynamic sampling."""
    checkpoint_every: int = Field(default=5, ge=1, json_schema_extra=NOT_HASHED)
    """Rounds between two checkpoints."""
    ntp_weight: float = Field(default=0.0, ge=0)
    """Weight of a next-token loss on demonstrations of the mixture beside the policy loss."""
    ntp_batch_size: int = Field(default=64, ge=1)
    """Demonstrations an update, if ntp_weight is not 0."""
    advantage: AdvantageKind | None = None
    """Overrides the preset: how advantages are made of rewards."""
    ratio: RatioKind | None = None
    """Overrides the preset: the importance ratio."""
    clip: ClipKind | None = None
    """Overrides the preset: how ratios are clipped."""
    clip_low: float | None = Field(default=None, ge=0)
    """Overrides the preset: lower clip distance."""
    clip_high: float | None = Field(default=None, ge=0)
    """Overrides the preset: upper clip distance, or bound."""
    aggregate: Aggregate | None = None
    """Overrides the preset: how tokens and sequences are weighted."""
    decision_weight: float | None = Field(default=None, gt=0)
    """Overrides the preset: what the first two tokens of every response weigh, whatever its length."""

    @field_validator("algorithm")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        if "algorithm" not in cls.FIXED:
            preset(value, info.context)
        return value

    @field_validator("*")
    @classmethod
    def _fixed(cls, value: Any, info: ValidationInfo) -> Any:
        if info.field_name in cls.FIXED and value != (default := cls.model_fields[info.field_name].default):
            raise ValueError(f"must be {default} where kind is {cls.model_fields['kind'].default}; kind rl has others")
        return value

    @model_validator(mode="after")
    def _group_fits(self) -> ReinforcementLearning:
        if self.group_size < 2 and self.objective.advantage in GROUP_KINDS:
            raise ValueError(f"group_size must be at least 2 for advantage {self.objective.advantage}")
        self.objective.check()
        if self.group_size < 2 and self.dynamic_sampling:
            raise ValueError("dynamic_sampling chooses groups with different rewards: group_size must be at least 2")
        if self.length_penalty and self.objective.advantage == "accept":
            raise ValueError(
                "length_penalty changes nothing for advantage accept, which keeps what is right; leave it out"
            )
        return self

    @property
    def objective(self) -> Objective:
        """The preset with overrides by the settings."""
        overrides = {name: getattr(self, name) for name in Objective.model_fields}
        return preset(self.algorithm).model_copy(update={k: v for k, v in overrides.items() if v is not None})

    @property
    def steps_a_round(self) -> int:
        """Updates from one round's samples, default filled in."""
        return self.objective.steps_per_round

    def counts(self, state: TrainerState) -> dict[str, Any]:
        """Numbers of updates and of sampled responses, with the algorithm."""
        return {"algorithm": self.algorithm, "steps": state.step, "rollouts": state.sequences}

    def rows_in_memory(self) -> dict[str, int]:
        """Rows of a round's prompts and samples."""
        rows = {"prompts": self.prompts, "prompts, group_size": self.rollouts}
        return rows | ({"ntp_batch_size": self.ntp_batch_size} if self.ntp_weight else {})

    def seconds(self, stopwatch: Stopwatch) -> float | None:
        """Upper bound, as every response is taken to be long."""
        sampled, updated = stopwatch.policy_round(self)
        return self.num_rounds * sampled + self.steps * updated / self.minibatches

    def num_evaluations(self, evaluate: EvaluateSettings) -> tuple[int, int]:
        """One every `evaluate.every_rounds` rounds, with full numbers of prompts at both ends."""
        return -(-self.num_rounds // evaluate.every_rounds), 2

    def learner(self, model: Model) -> Learner:
        """A learner that makes gradients of samples."""
        return Learner(self, model)

    def train(self, context: Context, place: Place) -> None:
        """Train from the newest checkpoint to the end of the stage."""
        recipe = context.recipe
        model = context.new_model()
        context.load_start(place, model)
        start_model = _start_model(context, self, place)
        learner = self.learner(model)
        optimizer = learner.optimizer()
        state = context.begin(place, model, optimizer)
        if state.finished:
            return

        since = time.monotonic()
        with context.reporter.stage(place.title, state.step, self.steps):
            if state.step == 0:
                preflight(context, state, model, self)
            while state.step < self.steps:
                if state.round % recipe.evaluate.every_rounds == 0:
                    context.evaluate(state, model, final=False, show=state.round == 0)

                with sharding.whole(model), context.precision():
                    batch_of_round = collect(context, self, model, state)
                answers, advantages = batch_of_round.kept, batch_of_round.advantages
                rewards = batch_of_round.rewards.flatten()
                local, local_rows = parallel.local_groups(answers.rollout)
                round_metrics = describe(batch_of_round)
                with sharding.whole(model), context.precision():
                    round_metrics |= learner.prepare_round(local, rewards[local_rows])
                if state.round % SHOW_EVERY == 0:
                    context.record_responses(
                        state, "rollout", "sampled", answers, rewards=rewards, advantages=advantages
                    )
                before = state.step
                state.round += 1
                state.sequences += len(batch_of_round.sampled.rollout.rows)
                state.tokens += batch_of_round.num_tokens

                if self.restart:
                    assert start_model is not None
                    model.load_state_dict(start_model.state_dict())
                    optimizer = learner.optimizer()
                start_logp = None
                if self.kl:
                    assert start_model is not None
                    with sharding.whole(start_model), context.precision():
                        start_logp = sample_logp(start_model, local, self.temperature)
                for update in range(min(self.steps_a_round, self.steps - state.step)):
                    rows = minibatch_rows(context, self, state, update, len(advantages))
                    weights = row_weights(context, answers, advantages, rows, self).local(local_rows)
                    batch = PolicyBatch(
                        local,
                        advantages[local_rows],
                        weights.loss,
                        on_policy=update == 0 and not self.restart,
                        start_logp=start_logp,
                        kl_weights=weights.kl,
                        decision_weights=weights.decisions,
                    )
                    with sharding.whole(model):
                        with context.precision():
                            metrics = learner.accumulate_gradient(batch)
                            ntp_metrics = demonstrations_gradient(context, self, place, model, state)
                        parallel.sum_gradients(model)
                    metrics = parallel.whole_metrics(metrics)
                    metrics.pop("scored")
                    state.tokens += int(metrics.pop("tokens") or 0)
                    step_metrics = apply_gradients(model, optimizer, self, state.step, self.steps)
                    state.step += 1
                    row = {"round": state.round, **round_metrics, **metrics, **ntp_metrics, **step_metrics}
                    context.reporter.update(context.record(state, "update", row))
                stopping = context.stopping
                steps_of_round = range(before + 1, state.step + 1)
                if stopping or state.round % self.checkpoint_every == 0 or place.keeps(*steps_of_round):
                    since = context.keep(place, state, model, optimizer, since)
                if stopping:
                    raise Interrupted

            context.evaluate(state, model, final=True, show=True)
            state.finished = True
            context.keep(place, state, model, optimizer, since)


class Learner:
    """Makes gradients of samples; kinds with other losses subclass it."""

    def __init__(self, settings: ReinforcementLearning, model: Model) -> None:
        self.settings, self.model = settings, model

    def optimizer(self) -> Optimizer:
        """A new optimizer of all trained parameters."""
        return make_optimizer(self.model, self.settings)

    def prepare_round(self, rollout: Rollout, rewards: Tensor) -> dict[str, float]:
        """Prepare a round's updates from this process's samples and their rewards (N,); returns further metrics."""
        return {}

    def accumulate_gradient(self, batch: PolicyBatch) -> dict[str, float | None]:
        """Add the gradient of an update to the parameters' `.grad`; returns its metrics."""
        rl = self.settings
        return accumulate_gradient(self.model, batch, rl.objective, temperature=rl.temperature, kl=rl.kl)


def _start_model(context: Context, settings: ReinforcementLearning, place: Place) -> Model | None:
    """A second copy of the model that RL starts from; None without a KL term and without restarts."""
    if not settings.kl and not settings.restart:
        return None
    model = context.new_model()
    context.load_start(place, model)
    return model
