"""Several processes learn on text what one learns: the real launcher, over gloo."""

from pathlib import Path

import pytest

from tests.stages.launching import assert_equal, rows
from tests.stages.test_parallel import together
from tests.stages.text.small_engine_text import SMALL
from tests.stages.together import run_all

LEARNERS = {
    "grpo with kl": "posttrain.kl=0.1|posttrain.ntp_weight=0.5",
    "star": "posttrain.algorithm=star",
    "ppo": "stages.posttrain={kind: ppo, prompts: 5, steps: 2}",
    "dpo": "stages.posttrain={kind: dpo, prompts: 3, group_size: 4, steps: 2}",
    "adapters": "model.lora={rank: 4}|pretrain.batch_size=7|posttrain.prompts=3",
}


@pytest.mark.slow
@pytest.mark.smoke
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    source = tmp_path / "small-text.yaml"
    source.write_text(SMALL, encoding="utf-8")
    variants = [f"{variant}|evaluate.prompts=5" for variant in LEARNERS.values()]
    run_all(source, tmp_path / "one", variants)
    together(2, source, tmp_path / "two", variants)
    for number in range(len(variants)):
        assert_equal(rows(tmp_path / "one" / str(number)), rows(tmp_path / "two" / str(number)))
