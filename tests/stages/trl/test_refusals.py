"""What language models' stages refuse, and when: before anything of a run is emptied, and before they wait for ever."""

from pathlib import Path

import pytest

from chainlift.models.pretrained import loading
from chainlift.report.terminal.reporter import Reporter
from chainlift.runs.store import RunFolder
from chainlift.stages import pipeline
from chainlift.stages.stage import Stage
from chainlift.stages.trl.recorder import check_finite
from tests.in_process import command
from tests.stages.trl.small_text import chosen, run, small


@pytest.mark.parametrize(
    ("mixture", "told"),
    [
        ("{p_cot: 1}", r"pretrain\.max_length: no demonstration has 45 tokens or fewer \(0% done\)"),
        ("{p_cot: [[0, 0], [.5, 1]]}", r"pretrain\.max_length: no demonstration has 45 tokens or fewer \(\d\d% done\)"),
    ],
)
def test_forms_that_never_fit_end_fine_tuning_and_do_not_loop(mixture: str, told: str, tmp_path: Path) -> None:
    """Some short forms have 33 to 45 tokens here, long ones at least 51."""
    with pytest.raises(ValueError, match=told):
        run(tmp_path, f"pretrain.mixture={mixture}", "pretrain.max_length=45", "posttrain=null")


@pytest.mark.slow
def test_fresh_empties_nothing_where_the_extra_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, summary = run(tmp_path, "posttrain=null")

    def missing() -> None:
        raise ValueError("language models need the extra llm")

    monkeypatch.setattr(loading, "require_llm_extra", missing)
    with pytest.raises(ValueError, match="extra llm"):
        pipeline.run(small("posttrain=null"), tmp_path, Reporter(quiet=True), fresh=True)
    assert folder.done
    assert RunFolder(folder.path).summary() == summary


@pytest.mark.parametrize(("loss", "grad_norm"), [(float("nan"), 1.0), (1.0, float("inf"))])
def test_an_update_that_is_not_finite_is_told_as_divergence(loss: float, grad_norm: float) -> None:
    check_finite({"loss": 1.0, "grad_norm": 1.0}, 3)
    with pytest.raises(FloatingPointError, match="at update 3"):
        check_finite({"loss": loss, "grad_norm": grad_norm}, 3)


class Nothing(Stage):
    """A stage of one's own on a task of text, which trains nothing."""

    kind: str = "tests.stages.trl.test_refusals:Nothing"

    def check(self, recipe: object, task: object) -> None:
        """Everything is fine with it."""

    def train(self, context: object, place: object) -> None:
        """Nothing."""


def test_a_kind_of_ones_own_is_named_in_the_plan_and_not_counted() -> None:
    typed = [*chosen("posttrain=null"), "stages.more.kind=tests.stages.trl.test_refusals:Nothing"]
    ended = command("run", "llm-tiny-trl", *typed, "--dry-run")
    assert ended.status == 0, ended.err
    assert "# more: no estimate for its kind" in ended.out
