"""Which jobs a grid needs, and which of them may begin."""

from pathlib import Path

from chainlift.sweep import axes
from chainlift.sweep.jobs import Job, plan, ready


def jobs_of(out: Path, axis: str) -> list[Job]:
    return plan(axes.expand("tiny", [axis], (0,)), out)


def test_first_stages_are_a_job_where_two_runs_share_them(tmp_path: Path) -> None:
    several, alone = jobs_of(tmp_path, "posttrain.lr=1e-4,2e-4"), jobs_of(tmp_path, "posttrain.lr=1e-4")
    assert [(job.is_shared, job.after, job.wave) for job in several] == [
        (True, None, 0),
        (False, several[0].run_id, 1),
        (False, several[0].run_id, 1),
    ]
    assert [(job.is_shared, job.after) for job in alone] == [(False, None)]


def test_a_job_begins_once_what_it_shares_has_ended(tmp_path: Path) -> None:
    shared, first, second = jobs_of(tmp_path, "posttrain.lr=1e-4,2e-4")
    everything = {job.run_id for job in (shared, first, second)}
    assert ready([first, second, shared], everything) is shared
    assert ready([first, second], everything) is None
    assert ready([first, second], everything - {shared.run_id}) is first
