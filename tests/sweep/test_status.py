"""How far a sweep is said to be, and with how many threads its cost is measured."""

from pathlib import Path

import pytest
import torch

from chainlift.report.terminal.reporter import Reporter
from chainlift.runs.store import RunFolder
from chainlift.stages.planning.cost import Cost
from chainlift.sweep import axes, status
from tests.sweep.test_local import SMALL


def test_shared_stages_under_way_are_counted(tmp_path: Path) -> None:
    chosen = axes.expand("tiny", [*SMALL[1:], "posttrain.lr=1e-4,2e-4"], (0, 1))
    nothing = "0 done, 0 failed, 0 begun, 4 missing"
    assert status.table(status.rows(chosen, tmp_path))[-1] == nothing
    for one in (chosen[0], chosen[-1]):
        (stage,) = one.prefixes
        RunFolder.open(tmp_path / stage.run_id, stage.model_dump(mode="json"), stage.digest)
    rows = status.rows(chosen, tmp_path)
    assert status.table(rows)[-1] == f"{nothing}; begun: 2 shared stages, for which 4 of them wait"
    assert [row.note for row in rows] == [f"waits for its first stages, {one.prefixes[0].run_id}" for one in chosen]
    RunFolder(tmp_path / chosen[0].prefixes[0].run_id).finish({})
    assert (
        status.table(status.rows(chosen, tmp_path))[-1] == f"{nothing}; begun: 1 shared stage, for which 2 of them wait"
    )


def test_costs_are_measured_with_the_threads_that_a_run_will_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    cost = Cost({"pretrain": 1.0, "posttrain": 1.0}, 1.0)
    monkeypatch.setattr(status.cost, "estimate", lambda one: seen.append(torch.get_num_threads()) or cost)
    chosen = [*axes.expand("tiny", SMALL, (0,)), *axes.expand("tiny", [*SMALL, "threads=3"], (0,))]
    before = torch.get_num_threads()
    status.costs(chosen, tmp_path, Reporter(quiet=True), threads=2)
    assert seen == [2, 3]
    assert torch.get_num_threads() == before
