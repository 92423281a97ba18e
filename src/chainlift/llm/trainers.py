"""What TRL's trainers do differently here: they keep whole checkpoints durably, and sample in parts that fit a memory.

Both are mixed into a trainer's class by `made`. They replace methods of one minor release of TRL and transformers,
which pyproject.toml holds on to.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chainlift import processes
from chainlift.llm.sampling_memory import rows_that_fit
from chainlift.runs import checkpoint, durable
from chainlift.runs.checkpoint import TrainerState

STATE = "chainlift_state.json"  # transformers has a trainer_state.json of its own


def made(kind: Any, state: Callable[[], TrainerState], **given: Any) -> Any:
    """A trainer of TRL's class `kind`; state: what stands beside its checkpoint at this moment."""
    from transformers import PrinterCallback

    trainer = type(kind.__name__, (_Keeps, _SamplesInParts, kind), {})(**given)
    trainer.state_beside = state
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Keeps:
    """Writes a checkpoint under another name, brings it onto the disk, names it, then removes the one before."""

    args: Any
    state: Any
    state_beside: Callable[[], TrainerState]
    saved_step = 0
    """The step of the last checkpoint that this process has written."""

    def keep(self) -> None:
        """Write a checkpoint of this moment."""
        self._save_checkpoint(None, None)

    def _get_output_dir(self, trial: Any) -> str:
        """Where transformers writes `checkpoint-N`."""
        return str(self._workshop)

    @property
    def _workshop(self) -> Path:
        return Path(self.args.output_dir) / f"{durable.TEMPORARY}writing"

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        root, name = Path(self.args.output_dir), f"checkpoint-{self.state.global_step}"
        processes.first_says(lambda: durable.clean_up(root))
        super()._save_checkpoint(model, trial)  # pyright: ignore[reportAttributeAccessIssue]
        processes.wait_for_all()
        processes.first_says(lambda: self._put_in_place(root, name))
        self.saved_step = self.state.global_step

    def _put_in_place(self, root: Path, name: str) -> None:
        temporary = root / f"{durable.TEMPORARY}{name}"
        (self._workshop / name).rename(temporary)
        checkpoint.write_state(temporary, self.state_beside(), STATE)
        durable.put_in_place(temporary, root / name)
        self._workshop.rmdir()
        for other in root.glob("checkpoint-*"):
            if other.name != name:
                durable.discard(other)


class _SamplesInParts:
    """Samples a round's responses a part at a time; all processes have equally many rows, and so equally many parts."""

    model: Any
    use_vllm: bool
    sampled_tokens = 0
    """Most tokens of prompt and response together."""
    sampling_gib = 8.0
    """Memory that the cache and the logits of a part may take."""

    def _generate_single_turn(self, prompt_ids: list[Any], *rest: Any) -> Any:
        generate: Any = super()._generate_single_turn  # pyright: ignore[reportAttributeAccessIssue]
        if self.use_vllm:
            return generate(prompt_ids, *rest)
        bfloat16 = self.args.bf16  # pyright: ignore[reportAttributeAccessIssue]
        rows = rows_that_fit(self.model, self.sampled_tokens, self.sampling_gib, bfloat16=bfloat16)
        parts = [generate(prompt_ids[start : start + rows], *rest) for start in range(0, len(prompt_ids), rows)]
        if isinstance(parts[0], tuple):  # GRPO gives log-probabilities beside the tokens, None without vLLM
            return [row for ids, _ in parts for row in ids], None
        return [row for ids in parts for row in ids]
