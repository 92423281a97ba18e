"""Reinforcement learning on a language model: GRPO, its variants and RLOO by TRL's trainers, STaR by rounds of SFT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from chainlift import distributed
from chainlift.learning import reward as rewards
from chainlift.measure.evaluate import EvaluateSettings
from chainlift.models.pretrained.generation import longest_prompt
from chainlift.runs.checkpoint import TrainerState
from chainlift.settings import NOT_HASHED, Settings
from chainlift.stages.policy.rounds import Rounds
from chainlift.stages.stage import Place
from chainlift.stages.trl.stage import TrlStage
from chainlift.stages.trl.work import NumTokens, Work
from chainlift.tasks import finite
from chainlift.tasks.base import Task
from chainlift.tasks.mixture import MixtureSettings
from chainlift.text.problem import Problem
from chainlift.text.task import TextTask

if TYPE_CHECKING:
    from chainlift.stages.recipe import Recipe
    from chainlift.stages.trl.context import TextContext
    from chainlift.stages.trl.lengths import Lengths
    from chainlift.stages.trl.memory_plan import MemoryPlan, Phase
    from chainlift.stages.trl.recorder import Recorder
    from chainlift.stages.trl.timing import TextStopwatch

Algorithm = Literal["star", "rloo", "grpo", "dr_grpo", "dapo"]


class TextReinforcementLearning(TrlStage, Rounds):
    """Rounds of sampling, grading and updating a language model."""

    title: str = Field(default="reinforcement learning", json_schema_extra=NOT_HASHED)
    unit: str = Field(default="sampled responses", json_schema_extra=NOT_HASHED)

    kind: str = "trl_rl"
    algorithm: Algorithm = "grpo"
    """grpo, dr_grpo, dapo (without dynamic sampling) and rloo are TRL's; star fine-tunes on the right samples."""
    prompts: int = Field(default=16, ge=1)
    """P: problems of a round."""
    steps: int = Field(default=60, ge=1)
    """Optimizer updates in all."""
    steps_per_round: int = Field(default=8, ge=1)
    """Updates of a round of star, on the samples that it kept; the others make one update a round."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """The engine that generates; vllm needs a GPU and the package vllm."""
    vllm_memory: float = Field(default=0.3, gt=0, lt=1)
    """Share of the GPU's memory that vllm takes for its copy of the weights and its cache."""

    @model_validator(mode="after")
    def _fits(self) -> TextReinforcementLearning:
        if self.algorithm != "star" and self.group_size < 2:
            raise ValueError(f"group_size must be at least 2 for {self.algorithm}, which compares samples of a problem")
        if self.algorithm == "star" and self.kl:
            raise ValueError("kl does not apply to star, which fits samples")
        if self.algorithm == "star" and self.engine == "vllm":
            raise ValueError("engine vllm goes with TRL's algorithms; star generates with transformers")
        if self.rollouts % min(self.micro_batch_size, self.rollouts):
            raise ValueError(f"prompts times group_size ({self.rollouts}) must be a multiple of micro_batch_size")
        return self

    @property
    def steps_a_round(self) -> int:
        """Updates from one round's samples."""
        return self.steps_per_round if self.algorithm == "star" else 1

    def counts(self, state: TrainerState) -> dict[str, Any]:
        """Numbers of updates and of sampled responses, with the algorithm."""
        return {"algorithm": self.algorithm, "steps": state.step, "rollouts": state.sequences}

    def check(self, recipe: Recipe, task: Task | TextTask) -> None:
        """ValueError in one line if the task is not for this stage, or the reward does not work on text."""
        super().check(recipe, task)
        rewards.check(self.reward, task)

    def seconds(self, stopwatch: TextStopwatch) -> float | None:
        """Upper bound, as every response is taken to be long."""
        sampled = self.num_rounds * self.rollouts * stopwatch.decoded_response()
        return sampled + self.steps * self.rollouts / self.steps_a_round * stopwatch.sampled_sequence(self)

    def num_evaluations(self, evaluate: EvaluateSettings) -> tuple[int, int]:
        """One every `evaluate.every_rounds` rounds, with full numbers of problems at both ends."""
        return (self.num_rounds - 1) // evaluate.every_rounds, 2

    def measuring_keys(self, part: str, settings: Settings) -> frozenset[str]:
        """Keys that decide only measurements: `sampling_rows` too, except in STaR, whose rounds depend on it."""
        further = {"sampling_rows"} if part == "model" and self.algorithm != "star" else set[str]()
        return super().measuring_keys(part, settings) | further

    def num_tokens(self, lengths: Lengths, mixture: MixtureSettings, max_tokens: int) -> NumTokens:
        """Tokens of samples that are all long, and of updates on them; STaR's updates together have a round's size."""
        samples, response = self.num_rounds * self.rollouts, min(lengths.long, max_tokens)
        trained = samples * (lengths.prompt + response)
        return NumTokens(trained, generated=samples * response, prompts=samples * lengths.prompt)

    def work(self, tokens: NumTokens) -> list[Work]:
        """Sampling, and updates with the passes for old log-probabilities and, if kl is on, for the start model's."""
        return [
            Work("sampling", tokens.generated, 2, is_training=False),
            Work("updates", tokens.trained, 8 if self.kl == 0 else 10),
        ]

    def memory(self, name: str, plan: MemoryPlan) -> list[Phase]:
        """Memory of a round's samples, unless vllm holds them, and of updates on them."""
        reference, phases = bool(self.kl), []
        if self.engine == "transformers":
            rows = plan.settings.sampling_rows if self.algorithm == "star" else self.rollouts
            phases.append(plan.sampling(f"{name}, sampling", rows, reference=reference))
        tokens = plan.lengths.prompt + plan.max_tokens
        return [*phases, plan.update(f"{name}, updates", self, self.rollouts, tokens, reference=reference)]

    def train(self, context: TextContext, place: Place) -> None:
        """Train from the newest checkpoint to the end of the stage."""
        from chainlift.models.pretrained.loading import LanguageModel
        from chainlift.stages.trl import reward, star, training
        from chainlift.stages.trl.preflight import preflight
        from chainlift.stages.trl.recorder import Recorder

        if self.algorithm == "star":
            star.train(context, place, self)
            return
        arguments(context, place, self, longest=1)  # checks that sizes divide
        state, newest = training.begin(context, place)
        if state.finished:
            return
        model, tokenizer = context.start(place)
        context.check_rounding(model, self.lr, f"{place.name}.lr")
        recorder = Recorder(
            context,
            place,
            state,
            tokenizer,
            every=context.recipe.evaluate.every_rounds,
            sequences=self.rollouts,
            metrics=reward.metrics,
            show_start=True,
            passes=2,
        )
        with context.reporter.stage(place.title, state.step, self.steps):
            if newest is None:
                preflight(context, state, LanguageModel(model.to(context.device), tokenizer), self)
            trainer = _trainer(context, place, self, model, recorder)
            training.run(trainer, recorder, newest, self.steps)
            training.finish(context, place, recorder, trainer)


def problems_of_round(problems: Sequence[Problem], count: int, *, seed: int, stage: str, number: int) -> list[Problem]:
    """The problems of round `number`: rounds go through all of them, each epoch in an order of its own stream."""
    chosen: list[Problem] = []
    place = number * count
    while len(chosen) < count:
        epoch, at = divmod(place + len(chosen), len(problems))
        order = finite.order(len(problems), seed=seed, name=stage, epoch=epoch).tolist()
        chosen += [problems[i] for i in order[at : at + count - len(chosen)]]
    return chosen


def _trainer(
    context: TextContext, place: Place, stage: TextReinforcementLearning, model: Any, recorder: Recorder
) -> Any:
    """GRPOTrainer or RLOOTrainer, one update for each round of samples."""
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer
    from trl.trainer.rloo_config import RLOOConfig
    from trl.trainer.rloo_trainer import RLOOTrainer

    from chainlift.stages.trl import reward, trainers, training

    task, seed = context.task, context.recipe.seed
    chosen = [
        problem
        for number in range(stage.steps)
        for problem in problems_of_round(task.problems[0], stage.prompts, seed=seed, stage=place.name, number=number)
    ]
    rows = [{"prompt": task.prompt(problem), "answer": problem.answer} for problem in chosen]
    longest = longest_prompt([row["prompt"] for row in rows], recorder.tokenizer)
    kind: Any = RLOOTrainer if stage.algorithm == "rloo" else GRPOTrainer
    config: Any = RLOOConfig if stage.algorithm == "rloo" else GRPOConfig
    trainer = trainers.make_trainer(
        kind,
        recorder.current_state,
        place.stays,
        model=model,
        reward_funcs=[reward.Reward(context, stage, recorder.tokenizer.eos_token_id)],
        args=config(**arguments(context, place, stage, longest)),
        train_dataset=Dataset.from_list(rows),
        **training.shared_parts(context, place, recorder),
    )
    trainer.sampled_tokens = longest + task.settings.max_tokens
    trainer.sampling_gib = context.settings.sampling_gib
    return trainer


def arguments(context: TextContext, place: Place, stage: TextReinforcementLearning, longest: int) -> dict[str, Any]:
    """Arguments of TRL's configuration of the algorithm; longest: tokens of the longest prompt."""
    from chainlift.stages.trl import pinned, training

    if stage.prompts % distributed.world_size():
        raise ValueError(
            f"{place.name}.prompts {stage.prompts} must be a multiple of the {distributed.world_size()} processes"
        )
    common = training.arguments(context, place, batch_size=stage.rollouts, steps=stage.steps)
    max_tokens = context.task.settings.max_tokens
    return {
        **common,
        **pinned.ALGORITHMS[stage.algorithm],
        "num_generations": stage.group_size,
        "max_completion_length": max_tokens,
        "temperature": stage.temperature,
        "beta": stage.kl,
        "steps_per_generation": common["gradient_accumulation_steps"],  # one round of samples for each update
        "use_vllm": stage.engine == "vllm",
        "vllm_max_model_length": longest + max_tokens,
        "vllm_gpu_memory_utilization": stage.vllm_memory,
    }
