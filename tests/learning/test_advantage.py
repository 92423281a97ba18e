import pytest
import torch

from chainlift.learning import advantage
from chainlift.learning.presets import AdvantageKind

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("kind", "first_row", "last_row"),
    [
        ("none", [1, 0, 0, 1], [0, 0, 1, 0]),
        ("accept", [1, 0, 0, 1], [0, 0, 1, 0]),
        ("batch_mean", [5 / 12, -7 / 12, -7 / 12, 5 / 12], [-7 / 12, -7 / 12, 5 / 12, -7 / 12]),
        ("group_mean", [0.5, -0.5, -0.5, 0.5], [-0.25, -0.25, 0.75, -0.25]),
        ("leave_one_out", [2 / 3, -2 / 3, -2 / 3, 2 / 3], [-1 / 3, -1 / 3, 1, -1 / 3]),
        # Standard deviations with G - 1: sqrt(1/3) and 1/2.
        ("group_zscore", [0.8658754, -0.8658754, -0.8658754, 0.8658754], [-0.4999, -0.4999, 1.4997, -0.4999]),
    ],
)
def test_hand_computed(kind: AdvantageKind, first_row: list[float], last_row: list[float]) -> None:
    found = advantage.estimate(REWARDS, kind)
    torch.testing.assert_close(found[0], torch.tensor(first_row, dtype=torch.float32), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[2], torch.tensor(last_row, dtype=torch.float32), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", advantage.GROUP_KINDS)
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3])
def test_equal_rewards_have_exactly_no_signal(kind: AdvantageKind, value: float) -> None:
    assert (advantage.estimate(torch.full((3, 7), value), kind) == 0).all()


@pytest.mark.parametrize("kind", advantage.GROUP_KINDS)
def test_a_group_of_one_is_refused(kind: AdvantageKind) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        advantage.estimate(torch.ones(4, 1), kind)


def test_signal_counts_groups() -> None:
    found = advantage.signal(torch.tensor([[True, True], [False, False], [True, False], [False, True]]))
    assert found == {"groups_all_right": 0.25, "groups_all_wrong": 0.25, "groups_mixed": 0.5}
