"""SIGKILL in each stage of a language model on our own engine, and the same command ends in the same bytes."""

import time
from pathlib import Path

import pytest

from tests.forked import Forked
from tests.stages.text.small_engine_text import run, written

WEIGHTS = {
    "float32": "model.weights=float32",
    "bfloat16 with masters": "model.weights=bfloat16",
    "adapters": "model.lora={rank: 4}",
    "adapters on bfloat16": "model={family: llama, layers: 2, width: 16, heads: 2, kv_heads: 2, mlp_width: 32, "
    "context: 160, vocabulary: 400, weights: bfloat16, lora: {rank: 4}, recompute: true}",
}
KEPT = ("pretrain.keep=all", "posttrain.keep={every: 1}", "pretrain.average_tail=0.5")


def contents(folder: Path) -> dict[str, bytes]:
    """Records, and all that stands in the kept checkpoints but the time that they took."""
    files = [folder / name for name in ("metrics.jsonl", "rollouts.jsonl")]
    files += [file for file in folder.glob("checkpoints/*/*") if file.suffix == ".safetensors"]
    files += [file for file in folder.glob("checkpoints/*/*") if file.name in ("config.json", "tokenizer.json")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.slow
@pytest.mark.parametrize(
    "weights", [pytest.param(name, marks=[pytest.mark.smoke] if name == "adapters" else []) for name in WEIGHTS]
)
def test_a_kill_in_each_stage_and_the_same_command_end_in_the_same_bytes(weights: str, tmp_path: Path) -> None:
    typed = (*KEPT, WEIGHTS[weights])
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    _, unharmed = run(tmp_path / "whole", *typed)
    folder = tmp_path / "killed" / unharmed.path.name
    for sign in ("pretrain-2", "posttrain-1", "continued_pretrain-"):
        process = Forked("run", written(tmp_path / "killed"), *typed, "--out", tmp_path / "killed")
        while process.poll() is None and not any(folder.glob(f"checkpoints/{sign}*")):
            time.sleep(0.002)
        assert process.poll() is None, process.communicate()[1]
        process.kill()
        process.communicate()
        assert not (folder / "DONE").exists()
    _, again = run(tmp_path / "killed", *typed)
    expected = contents(unharmed.path)
    assert {name.split("/")[1] for name in expected if "/" in name} >= {f"pretrain-{step}" for step in range(1, 5)}
    found = contents(again.path)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
