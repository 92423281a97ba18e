"""What a run tells while it goes on."""

import io

from chainlift.report.terminal.reporter import Reporter


def test_a_run_of_many_shows_how_far_it_is_and_nothing_else() -> None:
    out = io.StringIO()
    reporter = Reporter(brief=True, file=out)
    reporter.say("theory: ...")
    with reporter.stage("pretrain", 0, 100):
        reporter.update({"step": 1, "loss": 2.0})
        reporter._last_line -= 60  # as if a minute had gone by
        reporter.update({"step": 50, "loss": 1.0})
        reporter.update({"step": 100, "loss": 0.5})
    assert [line.split()[:2] for line in out.getvalue().splitlines()] == [["update", "50/100"]]
    assert "s left" in out.getvalue()
