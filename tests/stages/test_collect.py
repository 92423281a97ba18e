"""What a round draws, keeps and says; and what RL keeps in memory beside the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from chainlift.learning import advantage
from chainlift.learning.policy_update import PolicyBatch
from chainlift.models.model import Model
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs.checkpoint import TrainerState
from chainlift.runs.store import RunFolder, read_rows
from chainlift.seeding import stream
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from chainlift.stages.context import Context
from chainlift.stages.kinds import rl
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.policy import collect
from chainlift.tasks.running_sum import RunningSum
from tests.conftest import SMALL

CHOSEN = ("posttrain.algorithm=dapo", "posttrain.dynamic_sampling=true", "posttrain.prompts=16")


def context_of(tmp_path: Path, *overrides: str) -> tuple[Context, ReinforcementLearning]:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL, encoding="utf-8")
    recipe = recipes.load(str(file), [*overrides])
    settings = recipe.stages["posttrain"]
    assert isinstance(settings, ReinforcementLearning)
    return Context(recipe, RunFolder(tmp_path), Reporter(quiet=True), torch.device("cpu")), settings


def a_round(tmp_path: Path, *overrides: str) -> collect.Round:
    """A round of a model that has learned nothing, so that its answers are right now and then."""
    context, settings = context_of(tmp_path, *overrides)
    return collect.collect(context, settings, unsure(context), TrainerState("posttrain"))


def unsure(context: Context) -> Model:
    """A model whose responses differ in length and answer."""
    model = context.new_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.empty_like(parameter).normal_(generator=stream(0, "noise"))
    return model


def test_groups_are_chosen_by_what_is_right_and_not_by_the_length_penalty(tmp_path: Path) -> None:
    plain = a_round(tmp_path, *CHOSEN)
    shaped = a_round(tmp_path, *CHOSEN, "posttrain.length_penalty=0.1")
    assert bool(advantage.mixed(shaped.rewards).all()), "every group differs in length, so that no reward is shared"
    wanted = min(16, int(advantage.mixed(shaped.sampled_raw).sum()))
    assert wanted > 0
    assert int(advantage.mixed(shaped.raw).sum()) == wanted
    assert torch.equal(plain.kept.rollout.responses, shaped.kept.rollout.responses)


def test_a_round_describes_the_policy_and_what_was_kept_under_other_names(tmp_path: Path) -> None:
    found = a_round(tmp_path, *CHOSEN, "posttrain.dynamic_sampling_tries=3")
    told = collect.describe(found)
    everyone, kept = found.sampled.verdict, found.kept.verdict
    assert len(everyone.answer_correct) == 3 * 16 * 4 > len(kept.answer_correct) == 16 * 4
    for name, verdict, raw in (("", everyone, found.sampled_raw), ("kept_", kept, found.raw)):
        assert told[f"{name}accuracy"] == pytest.approx(verdict.answer_correct.double().mean().item())
        assert told[f"{name}reward_mean"] == pytest.approx(raw.double().mean().item())
        assert told[f"{name}long_share"] == pytest.approx(verdict.long.double().mean().item())
        assert told[f"{name}length_mean"] == pytest.approx(verdict.length.double().mean().item())
        assert told[f"{name}groups_mixed"] == pytest.approx(advantage.mixed(raw).double().mean().item())
    assert told["groups_mixed"] < told["kept_groups_mixed"]
    assert told["accuracy"] != told["kept_accuracy"]


def test_without_a_choice_there_is_nothing_else_to_describe(tmp_path: Path) -> None:
    found = a_round(tmp_path)
    assert [name for name in collect.describe(found) if name.startswith("kept_")] == ["kept_share"]
    assert found.kept is found.sampled


def test_groups_are_those_that_advantages_compare(tmp_path: Path) -> None:
    """With the chain reward a right answer behind a wrong chain earns nothing, and its group has no signal."""
    found = a_round(tmp_path, "posttrain.reward=chain", "posttrain.prompts=64")
    told = collect.describe(found)
    has_advantage = (found.advantages.view(64, -1) != 0).any(dim=1)
    assert told["groups_mixed"] == pytest.approx(float(has_advantage.float().mean()))
    answers = advantage.signal(found.sampled.verdict.answer_correct.float().view(64, -1))
    assert abs(told["groups_mixed"] - answers["groups_mixed"]) > 0.1, "the two rewards agree: nothing was tested"


@pytest.mark.parametrize("overrides", [(), CHOSEN])
def test_a_response_is_verified_once(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    with mock.patch.object(RunningSum, "verify", autospec=True, side_effect=RunningSum.verify) as verify:
        found = a_round(tmp_path, *overrides)
    verified = sum(len(call.args[2]) for call in verify.call_args_list)
    assert verified == len(found.sampled.rollout.rows)
    again = RunningSum.verify(verify.call_args.args[0], found.kept.rollout.row_prompts, found.kept.rollout.responses)
    for name in ("answer_correct", "chain_correct", "finished", "long", "length", "steps", "steps_right"):
        assert torch.equal(getattr(found.kept.verdict, name), getattr(again, name))


SHORT = (
    "pretrain.steps=15",
    "posttrain.steps=4",
    "continued_pretrain=null",
    "evaluate.prompts=8",
    "evaluate.during=8",
)


def run(tmp_path: Path, *overrides: str) -> list[dict[str, Any]]:
    """The rows of a short run of the small recipe."""
    context, _ = context_of(tmp_path, *SHORT, *overrides)
    done = pipeline.run(context.recipe, tmp_path / "runs", context.reporter)
    return read_rows(done.folder / "metrics.jsonl")


@pytest.mark.parametrize(
    ("overrides", "models"), [((), 2), (("posttrain.kl=0.1",), 3), (("posttrain.restart=true",), 3)]
)
def test_a_start_model_is_built_where_it_is_needed(tmp_path: Path, overrides: tuple[str, ...], models: int) -> None:
    """Stage 1's model and RL's; and, for a KL term or a fit that begins again, the one that RL began with."""
    with mock.patch.object(Context, "new_model", autospec=True, side_effect=Context.new_model) as new_model:
        run(tmp_path, *overrides)
    assert new_model.call_count == models


def weights_of(model: torch.nn.Module) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def test_star_that_begins_again_samples_from_its_last_fit(tmp_path: Path) -> None:
    """Zelikman et al. 2022: round n samples from the model of round n - 1 and fits the start model."""
    samplers, fitted = [], []

    def collecting(
        context: Context, settings: ReinforcementLearning, model: Model, state: TrainerState
    ) -> collect.Round:
        samplers.append(weights_of(model))
        return collect.collect(context, settings, model, state)

    def updating(model: Model, *args: Any, **options: Any) -> dict[str, float | None]:
        fitted.append(weights_of(model))
        return accumulate(model, *args, **options)

    accumulate = rl.accumulate_gradient
    star = ("posttrain.algorithm=star", "posttrain.restart=true", "posttrain.steps_per_round=2")
    with (
        mock.patch.object(rl, "collect", collecting),
        mock.patch.object(rl, "accumulate_gradient", updating),
    ):
        run(tmp_path, *star)
    assert torch.equal(samplers[0], fitted[0])
    assert torch.equal(fitted[2], fitted[0]), "the second fit does not begin at the start model"
    assert not torch.equal(samplers[1], samplers[0]), "the second round samples from the start model"


def test_stars_kl_term_is_over_all_samples(tmp_path: Path) -> None:
    batches: list[PolicyBatch] = []

    def updating(model: Model, batch: PolicyBatch, *args: Any, **options: Any) -> dict[str, float | None]:
        batches.append(batch)
        return accumulate(model, batch, *args, **options)

    accumulate = rl.accumulate_gradient
    with mock.patch.object(rl, "accumulate_gradient", updating):
        run(tmp_path, "posttrain.algorithm=star", "posttrain.kl=0.1")
    batch = batches[0]
    assert batch.kl_weights is not None
    rejected = batch.advantages == 0
    assert bool(rejected.any())
    assert not bool(rejected.all())
    assert bool((batch.weights[rejected] == 0).all())
    assert bool((batch.kl_weights > 0).all())
    assert float((batch.kl_weights * batch.rollout.num_actions).sum()) == pytest.approx(1)
