"""TRL's trainers sample a round in parts that keep to a memory."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from chainlift.models.pretrained import sampling_memory
from tests.stages.trl.small_text import run


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_trainers_sample_a_round_in_parts_that_keep_to_their_memory(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    kind: Any = LlamaForCausalLM
    real = kind.generate

    def generate(self: Any, *given: Any, **more: Any) -> Any:
        sizes.append(tuple(more["input_ids"].shape))
        return real(self, *given, **more)

    monkeypatch.setattr(kind, "generate", generate)
    held = 3e5
    gib = held / sampling_memory.GIB
    sizes_of = ("posttrain.steps=1", "pretrain.steps=1")
    run(tmp_path, f"posttrain.algorithm={algorithm}", f"model.sampling_gib={gib}", *sizes_of)
    (folder,) = tmp_path.glob("llm-tiny-*/checkpoints/posttrain-1")
    config = LlamaConfig.from_pretrained(folder)
    for rows, prompt in sizes:
        assert rows * sampling_memory.row_bytes(config, prompt + 12, torch.float32, bfloat16=False) <= held
    assert 1 < max(rows for rows, _ in sizes) < 16  # a round has 16 rows
