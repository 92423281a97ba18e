"""Changes to TRL's trainers: durable checkpoints, and sampling in parts that fit the memory.

`make_trainer` mixes both into a trainer's class. They replace methods of one minor release of TRL and transformers,
which pyproject.toml pins.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chainlift import distributed
from chainlift.models.pretrained.sampling_memory import rows_that_fit
from chainlift.runs import checkpoint, durable
from chainlift.runs.checkpoint import TrainerState


def make_trainer(kind: Any, state: Callable[[], TrainerState], stays: Callable[[int], bool], **options: Any) -> Any:
    """A trainer of TRL's class `kind`.

    state: gives the stage's current state for its checkpoints; stays: whether to keep the checkpoint of a step.
    """
    from transformers import PrinterCallback

    trainer = type(kind.__name__, (_DurableCheckpoints, _SamplesInParts, kind), {})(**options)
    trainer.current_state, trainer.stays = state, stays
    trainer.remove_callback(PrinterCallback)
    return trainer


class _DurableCheckpoints:
    """Writes checkpoints durably under a temporary name, then renames them to `<stage>-<step>` (runs/checkpoint.py)."""

    args: Any
    state: Any
    current_state: Callable[[], TrainerState]
    stays: Callable[[int], bool]
    saved_step = 0
    """Step of the last checkpoint that this process has written."""

    def keep(self) -> None:
        """Write a checkpoint now."""
        self._save_checkpoint(None, None)

    def create_model_card(self, *args: Any, **options: Any) -> None:
        """Write none, as `chainlift export` writes ours; TRL's would be beside the checkpoints."""

    def _get_output_dir(self, trial: Any) -> str:
        """The folder in which transformers writes `checkpoint-N`."""
        return str(self._workshop)

    @property
    def _workshop(self) -> Path:
        return Path(self.args.output_dir) / f"{durable.TEMPORARY}writing"

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        checkpoints = Path(self.args.output_dir)
        distributed.run_on_rank0(lambda: durable.clean_up(checkpoints))
        super()._save_checkpoint(model, trial)  # pyright: ignore[reportAttributeAccessIssue]
        distributed.barrier()
        distributed.run_on_rank0(lambda: self._put_in_place(checkpoints))
        self.saved_step = self.state.global_step

    def _put_in_place(self, checkpoints: Path) -> None:
        state = self.current_state()
        target = checkpoints / f"{state.stage}-{state.step}"
        temporary = checkpoints / f"{durable.TEMPORARY}{target.name}"
        (self._workshop / f"checkpoint-{self.state.global_step}").rename(temporary)
        (temporary / "training_args.bin").unlink(missing_ok=True)  # a pickle that nothing here reads
        checkpoint.write_state(temporary, state)
        durable.put_in_place(temporary, target)
        self._workshop.rmdir()
        checkpoint.prune(checkpoints, state, self.stays)


class _SamplesInParts:
    """Samples a round's responses in parts; all processes have the same number of rows, and so of parts."""

    model: Any
    use_vllm: bool
    sampled_tokens = 0
    """Most tokens of a prompt and its response."""
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
