"""Checkpoints: model, optimizer and trainer state in one folder; atomic, exact, without pickle.

    checkpoints/<stage>-<step>/   model.safetensors config.json tokenizer.json ...   the model (hub/model_folder.py)
                                  optimizer.safetensors                              optimizer state, and
                                                                                     values beside the model's
                                  state.json                                         TrainerState
                                  checksums.json                                     of all other files

A folder is written under a temporary name and then renamed (durable.py), so a folder with its final name is complete.
A checkpoint holds no random state: every draw of a run comes from a stream named by its step (seeding.py).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from chainlift import distributed, reading
from chainlift.learning import master_weights, sharding
from chainlift.learning.optimizer import Optimizer
from chainlift.models import checksums, families, lora, tensors
from chainlift.models.hub import model_folder
from chainlift.models.model import Model
from chainlift.runs import durable
from chainlift.tasks.base import Task

STATE = "state.json"
VALUE = "itself"  # the quantity of an optimizer's parameter whose value is not in model.safetensors: the value


@dataclass
class TrainerState:
    """Progress of a stage at a checkpoint."""

    stage: str
    step: int = 0
    """Optimizer updates done in this stage."""
    round: int = 0
    """RL rounds done; 0 in next-token stages."""
    sequences: int = 0
    """Demonstrations or rollouts so far in this stage."""
    tokens: int = 0
    """Prompt and output tokens processed so far in this stage."""
    seconds: float = 0.0
    """Wall-clock time spent in this stage, over all processes that have continued it."""
    identity: str = ""
    """Digest that identifies the stage's weights; empty if unknown."""
    finished: bool = False
    """Whether the stage has ended and its last evaluation is recorded."""
    lengths: dict[str, int] = field(default_factory=dict)
    """{appended file of the run folder: its bytes at this checkpoint}."""

    def row(self, kind: str, metrics: dict[str, Any]) -> dict[str, Any]:
        """A row of metrics.jsonl, without wall-clock time, so that a resumed run writes the same bytes."""
        counts = {"step": self.step, "sequences": self.sequences, "tokens": self.tokens}
        return {"stage": self.stage, "kind": kind, **counts, **metrics}


def save(
    checkpoints: Path,
    state: TrainerState,
    model: Model,
    task: Task,
    optimizer: Optimizer | None,
    *,
    stays: Callable[[int], bool] = lambda step: False,
) -> Path:
    """Write a checkpoint, remove older ones of the stage unless their step stays, and return the new folder.

    A collective: all ranks call it, because each may hold a shard of the weights; rank 0 writes.
    """
    target = checkpoints / f"{state.stage}-{state.step}"
    model, optimizer_state = _unsharded(model, task), _optimizer_tensors(model, optimizer)
    if not distributed.is_rank0():
        return target

    def write(folder: Path) -> None:
        model_folder.save(model, task, folder)
        if optimizer is not None:
            tensors.write(optimizer_state, folder / "optimizer.safetensors")
        write_state(folder, state)

    durable.write_folder(target, write)
    prune(checkpoints, state, stays)
    return target


def prune(checkpoints: Path, state: TrainerState, stays: Callable[[int], bool]) -> None:
    """Remove the stage's checkpoints whose step does not stay, except the one just written for `state`."""
    for step, folder in steps(checkpoints, state.stage).items():
        if step != state.step and not stays(step):
            durable.discard(folder)


def copy(source: Path, target: Path, length: Callable[[int, str], int]) -> Path:
    """Copy a checkpoint into another run folder, unless `target` exists, and return `target`.

    length: maps an appended file's bytes at the checkpoint, and its name, to the bytes in the other run folder.
    ValueError names a damaged file of the source.
    """

    def fill(folder: Path) -> None:
        for file in source.iterdir():  # one by one: copytree reports a full disk by an error without errno
            copy_entry = shutil.copytree if file.is_dir() else shutil.copyfile  # TRL keeps sharded weights in folders
            copy_entry(file, folder / file.name)
        state = read_state(folder)
        lengths = {file: length(size, file) for file, size in state.lengths.items()}
        write_state(folder, replace(state, lengths=lengths))

    if not target.exists():
        checksums.check(source)
        durable.write_folder(target, fill)
    return target


def steps(checkpoints: Path, stage: str) -> dict[int, Path]:
    """{step: folder} of a stage's complete checkpoints, in increasing order."""
    folders = durable.whole_folders(checkpoints)
    by_suffix = {name.removeprefix(f"{stage}-"): path for name, path in folders.items() if name.startswith(f"{stage}-")}
    return {int(step): by_suffix[step] for step in sorted(filter(str.isdecimal, by_suffix), key=int)}


def latest(checkpoints: Path, stage: str) -> Path | None:
    """The newest complete checkpoint of a stage, or None."""
    return next(reversed(steps(checkpoints, stage).values()), None)


def end(checkpoints: Path, stage: str) -> TrainerState:
    """The trainer state at the end of a stage; ValueError if the stage is not finished."""
    newest = latest(checkpoints, stage)
    state = None if newest is None else read_state(newest)
    if state is None or not state.finished:
        raise ValueError(f"{checkpoints} has no checkpoint of the end of {stage}; use --fresh to begin again")
    return state


def read_state(folder: Path) -> TrainerState:
    """The trainer state in a checkpoint folder; ValueError names the file if it is missing or damaged."""
    file = folder / STATE
    try:
        return reading.checked(reading.json_mapping(file), TrainerState, str(file))
    except ValueError as error:
        raise ValueError(f"{error}; use --fresh to begin again") from error


def write_state(folder: Path, state: TrainerState) -> None:
    """Write the trainer state into a folder that becomes a checkpoint."""
    (folder / STATE).write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")


def restore(folder: Path, model: Model, optimizer: Optimizer | None) -> TrainerState:
    """Load a checkpoint into the model and the optimizer, and return its trainer state; ValueError if it is damaged.

    A model with adapters must have the weights that they were added to, and keeps them; without an optimizer it gets
    the merged weights, and adapters that change nothing. A collective: rank 0 reads the folder and broadcasts its
    content.
    """
    weights, optimizer_state, state = distributed.run_on_rank0(lambda: _read(folder, model, optimizer))
    if optimizer is None or not lora.has_adapters(model):
        _fill_model(model, weights)
    if optimizer is not None:
        _fill_optimizer(model, optimizer, optimizer_state)
    return state


def load_weights(folder: Path, model: Model) -> None:
    """Load the model's weights from a folder, which needs no optimizer or trainer state."""
    _fill_model(model, distributed.run_on_rank0(lambda: model_folder.read_weights(folder, model)))


def _fill_model(model: Model, weights: dict[str, Tensor]) -> None:
    """Load weights into the model, and into their masters."""
    sharding.fill(model, weights)
    master_weights.begin(model)


def _read(
    folder: Path, model: Model, optimizer: Optimizer | None
) -> tuple[dict[str, Tensor], dict[str, Tensor], TrainerState]:
    """(weights, optimizer tensors or {}, trainer state) of a checkpoint folder."""
    weights = model_folder.read_weights(folder, model)  # the recipe, not the folder, defines model and task
    state = read_state(folder)
    optimizer_state: dict[str, Tensor] = {}
    if optimizer is not None:
        file = folder / "optimizer.safetensors"
        try:
            optimizer_state = tensors.read(file)
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(f"{file} is missing or damaged; use --fresh to begin again") from error
        names = _parameters(model, optimizer).keys()
        values = {f"{name}/{VALUE}" for name in names if _is_outside(model, name)}
        if not {key.rpartition("/")[0] for key in optimizer_state} <= names or not values <= optimizer_state.keys():
            raise ValueError(f"{file} is missing or damaged; use --fresh to begin again")
    return weights, optimizer_state, state


def _unsharded(model: Model, task: Task) -> Model:
    """The model itself, or a complete copy on the CPU if its weights are sharded."""
    if not sharding.is_sharded(model):
        return model
    weights = {name: sharding.full(value).cpu() for name, value in model.state_dict().items()}
    copy = families.build(model.settings, task, model.context)
    copy.load_state_dict(weights)
    return copy


def _optimizer_tensors(model: Model, optimizer: Optimizer | None) -> dict[str, Tensor]:
    """The optimizer's moments and step counts as {`<parameter>/<quantity>`: tensor}."""
    if optimizer is None:
        return {}
    return {
        f"{name}/{quantity}": sharding.full(value).detach().cpu()
        for name, parameter in _parameters(model, optimizer).items()
        for quantity, value in [*optimizer.state.get(parameter, {}).items(), (VALUE, parameter)]
        if quantity != VALUE or _is_outside(model, name)
    }


def _fill_optimizer(model: Model, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load saved optimizer state; the inverse of `_optimizer_tensors`."""
    parameters = _parameters(model, optimizer)
    for key, value in tensors.items():
        name, quantity = key.rsplit("/", 1)
        parameter = parameters[name]
        if quantity == VALUE:
            parameter.data.copy_(value)
        else:
            optimizer.state[parameter][quantity] = sharding.like(parameter, value.to(parameter.device))
    master_weights.round_to_parameters(model)


def _parameters(model: Model, optimizer: Optimizer) -> dict[str, Tensor]:
    """The model's trained parameters by name; named ones of the optimizer's groups as `beside.<name>`."""
    groups = [zip(group.get("names", ()), group["params"], strict=False) for group in optimizer.param_groups]
    extra = {f"beside.{name}": parameter for group in groups for name, parameter in group}
    return {**master_weights.trained(model), **extra}


def _is_outside(model: Model, name: str) -> bool:
    """Whether model.safetensors lacks the exact value of a parameter: a master weight, an adapter, a value head."""
    return name.startswith("beside.") or lora.is_adapter(name) or model.get_parameter(name).dtype in master_weights.LOW
