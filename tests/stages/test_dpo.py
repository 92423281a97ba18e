"""DPO: loss and slopes by hand, its gradient against autograd and against a closed form, and whole runs."""

import itertools
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from chainlift.learning.policy_update import PolicyBatch
from chainlift.learning.rollout import Rollout
from chainlift.runs.store import read_rows
from chainlift.stages.kinds.dpo import DirectPreferenceOptimization, PairLearner, pair_losses
from tests.conftest import SMALL
from tests.in_process import Ended, command
from tests.stages.table import RESPONSES, REWARDS, Table, chances, every_response, token_logp
from tests.stages.tiny_with import lifts_tiny, refused

GROUP, BETA = 3, 0.7
GROUPS = torch.tensor(list(itertools.product(range(len(RESPONSES)), repeat=GROUP)))
RIGHT = REWARDS > 0.5


def every_group(sampler: Tensor) -> Rollout:
    """All groups of three responses, each to a prompt of its own."""
    one, rows = every_response(sampler), GROUPS.flatten()
    return Rollout(
        prompts=one.prompts.expand(len(GROUPS), 1),
        rows=torch.arange(len(GROUPS)).repeat_interleave(GROUP),
        responses=one.responses[rows],
        logp=one.logp[rows],
        num_actions=one.num_actions[rows],
        entropy=one.entropy,
    )


def update(model: Table, start: Tensor, sampler: Tensor) -> tuple[Tensor, dict[str, float | None]]:
    """(gradient (3, 3), metrics) of an update from all groups, each weighing as much as the sampler draws it."""
    learner = PairLearner(DirectPreferenceOptimization(kl=BETA, group_size=GROUP), model)
    rollout, rows = every_group(sampler), GROUPS.flatten()
    weights = chances(sampler).detach()[GROUPS].prod(dim=1).repeat_interleave(GROUP) / GROUP
    learner.prepare_round(rollout, REWARDS[rows])
    batch = PolicyBatch(rollout, REWARDS[rows], weights, on_policy=False, start_logp=token_logp(start).detach()[rows])
    metrics = learner.accumulate_gradient(batch)
    assert model.logits_of.grad is not None
    return model.logits_of.grad, metrics


def test_loss_and_slopes_by_hand() -> None:
    """Pairs (.3, -.1) and (.3, .5): -log sigmoid of .4 and -.2 is .513015 and .798139, sigmoid of -.4 and .2 .401312
    and .549834; the second group has no pair.
    """
    lead = torch.tensor([[0.3, -0.1, 0.5], [0.1, 0.2, 0.3]])
    right = torch.tensor([[True, False, False], [True, True, True]])
    loss, slopes, ordered = pair_losses(lead, right)
    torch.testing.assert_close(loss, torch.tensor([0.655577, 0.0]), atol=1e-6, rtol=0)
    by_hand = [[-0.475573, 0.200656, 0.274917], [0.0, 0.0, 0.0]]
    torch.testing.assert_close(slopes, torch.tensor(by_hand), atol=1e-6, rtol=0)
    assert ordered.tolist() == [0.5, 0.0]


def test_at_the_start_the_expected_gradient_is_that_of_the_log_odds_of_being_right() -> None:
    """- beta / 2 (1 - q^G - (1 - q)^G) grad log(q / (1 - q)), q the chance of a right response.

    At the start every pair pulls with beta / 2. The mean score of right responses is grad log q, that of wrong ones
    grad log(1 - q), and a group has both with the chance in the middle.
    """
    model = Table(0)
    logits = model.logits_of.detach().clone().requires_grad_()
    q = chances(logits)[RIGHT].sum()
    slope = torch.autograd.grad((q / (1 - q)).log(), logits)[0]
    q = float(q.detach())
    expected = -BETA / 2 * (1 - q**GROUP - (1 - q) ** GROUP) * slope
    found, metrics = update(model, model.logits_of, model.logits_of)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert float(expected.norm()) > 0.02
    assert metrics["loss"] == pytest.approx((1 - q**GROUP - (1 - q) ** GROUP) * 0.693147, rel=1e-5)


def test_away_from_the_start_the_gradient_is_that_of_the_loss_pair_by_pair() -> None:
    model, start, sampler = Table(0), Table(1).logits_of.detach(), Table(2).logits_of.detach()
    logits = model.logits_of.detach().clone().requires_grad_()
    lead = BETA * (token_logp(logits) - token_logp(start)).sum(dim=1)
    likely = chances(sampler)
    total, ordered = torch.zeros(()), 0.0
    for group in GROUPS.tolist():
        pairs = [(i, j) for i in group for j in group if RIGHT[i] and not RIGHT[j]]
        for i, j in pairs:
            weight = likely[group].prod() / len(pairs)
            total = total - weight * F.logsigmoid(lead[i] - lead[j])
            ordered += float(weight) * float(lead[i] > lead[j])
    found, metrics = update(model, start, sampler)
    torch.testing.assert_close(found, torch.autograd.grad(total, logits)[0], atol=1e-6, rtol=1e-4)
    assert metrics["loss"] == pytest.approx(float(total.detach()), rel=1e-5)
    assert metrics["pairs_ordered"] == pytest.approx(ordered, rel=1e-5)


@pytest.fixture(autouse=True)
def _small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


DPO = "stages.posttrain={kind: dpo, prompts: 8, group_size: 4, steps: 3, steps_per_round: 2}"


def run(*changes: str, draws: bool = False) -> Ended:
    few = ("pretrain.steps=4", "continued_pretrain=null")
    return command("run", "small.yaml", *few, *changes, "--out", "runs", "--json", draws=draws)


def test_a_run_begins_with_undecided_pairs_and_has_its_page() -> None:
    code, out, err = run(DPO, draws=True)
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["posttrain"].items() >= {"kind": "dpo", "algorithm": "dpo", "steps": 3, "rollouts": 64}.items()
    folder = Path("runs") / summary["run_id"]
    updates = [row for row in read_rows(folder / "metrics.jsonl") if row["stage"] == "posttrain" and "loss" in row]
    assert [row["round"] for row in updates] == [1, 1, 2]
    assert updates[0]["loss"] == pytest.approx(0.693147 * updates[0]["groups_mixed"], rel=1e-4)
    assert updates[1]["loss"] < updates[0]["loss"]
    assert updates[1]["pairs_ordered"] > 0.5 * updates[0]["groups_mixed"]
    assert (folder / "report.html").exists()
    assert (folder / "figures/signal-posttrain.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("posttrain.minibatches=2", "posttrain.minibatches: must be 1 where kind is dpo; kind rl has others (got 2)"),
        ("posttrain.ratio=token", "posttrain.ratio: must be None where kind is dpo"),
        ("posttrain.kl=0", "posttrain.kl: Input should be greater than 0"),
        ("posttrain.group_size=1", "posttrain.group_size: Input should be greater than or equal to 2"),
    ],
)
def test_what_it_lacks_is_refused_in_one_line(change: str, told: str) -> None:
    refused(run(DPO, change), told)


@pytest.mark.slow
def test_it_lifts_tiny() -> None:
    """Greedy answers are a coin flip after next-token prediction, and right after DPO."""
    stage = "stages.posttrain={kind: dpo, prompts: 64, group_size: 4, steps: 16, lr: 2e-3}"
    lifts_tiny(stage)
