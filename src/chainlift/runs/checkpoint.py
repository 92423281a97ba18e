"""Checkpoints: the model's folder (hub/model_folder.py), the trainer's state beside it; atomic, exact, nothing pickled.

    checkpoints/<stage>-<step>/   model.safetensors config.json tokenizer.json ...   the model
                                  optimizer.safetensors                              the optimizer's; a value head
                                  state.json                                         TrainerState
                                  checksums.json                                     of all of these

A folder is written under another name and then renamed (durable.py), so that one that carries its name is whole. There
is no random state to keep: every draw of a run comes from a stream named by its step (seeding.py).
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
from chainlift.learning import sharding
from chainlift.learning.optimizer import Optimizer
from chainlift.models import checksums, families, tensors
from chainlift.models.hub import model_folder
from chainlift.models.model import Model
from chainlift.runs import durable
from chainlift.tasks.base import Task

STATE = "state.json"
ITSELF = "itself"  # under which a parameter is kept that is not the model's


@dataclass
class TrainerState:
    """Where a stage stands."""

    stage: str
    step: int = 0
    """Updates done."""
    round: int = 0
    """RL rounds done; 0 in next-token stages."""
    sequences: int = 0
    """Demonstrations or rollouts so far in this stage."""
    tokens: int = 0
    """Prompt and output tokens processed so far in this stage."""
    seconds: float = 0.0
    """Wall-clock time spent in this stage, over all processes."""
    identity: str = ""
    """What identifies the stage's weights, where that is known."""
    finished: bool = False
    """The stage is over, and its last evaluation is on record."""
    lengths: dict[str, int] = field(default_factory=dict)
    """Bytes of the run folder's appended files at this point."""

    def row(self, kind: str, metrics: dict[str, Any]) -> dict[str, Any]:
        """A row of metrics.jsonl; it holds no wall-clock time, so that a resumed run writes the same bytes."""
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
    """The folder `<stage>-<step>` just written; after it stands, older ones are removed whose step does not stay.

    Of processes that work together all must call it, as each may hold a part of the weights; the first one writes.
    """
    target = checkpoints / f"{state.stage}-{state.step}"
    model, averages = _whole(model, task), _optimizer_tensors(model, optimizer)
    if not distributed.is_rank0():
        return target

    def write(folder: Path) -> None:
        model_folder.save(model, task, folder)
        if optimizer is not None:
            tensors.write(averages, folder / "optimizer.safetensors")
        write_state(folder, state)

    durable.write_folder(target, write)
    prune(checkpoints, state, stays)
    return target


def prune(checkpoints: Path, state: TrainerState, stays: Callable[[int], bool]) -> None:
    """Remove a stage's checkpoints whose step does not stay, but that of `state`, which has just been written."""
    for step, other in steps(checkpoints, state.stage).items():
        if step != state.step and not stays(step):
            durable.discard(other)


def copy(source: Path, target: Path, length: Callable[[int, str], int]) -> Path:
    """The target: a checkpoint folder copied there, for another run folder.

    length: from the bytes of an appended file at this point, and its name, to the bytes there.
    Nothing happens if it stands already. ValueError names the file of the source that is damaged.
    """

    def fill(folder: Path) -> None:
        for file in source.iterdir():  # one by one: copytree would tell of a full disk in an error without a number
            copy_one = shutil.copytree if file.is_dir() else shutil.copyfile  # sharded weights of TRL lie in folders
            copy_one(file, folder / file.name)
        state = read_state(folder)
        lengths = {file: length(bytes_, file) for file, bytes_ in state.lengths.items()}
        write_state(folder, replace(state, lengths=lengths))

    if not target.exists():
        checksums.check(source)
        durable.write_folder(target, fill)
    return target


def steps(checkpoints: Path, stage: str) -> dict[int, Path]:
    """{step: folder} of the whole checkpoints of a stage, by rising step."""
    folders = durable.whole_folders(checkpoints)
    numbers = {name.removeprefix(f"{stage}-"): path for name, path in folders.items() if name.startswith(f"{stage}-")}
    return {int(step): numbers[step] for step in sorted((n for n in numbers if n.isdecimal()), key=int)}


def latest(checkpoints: Path, stage: str) -> Path | None:
    """The newest whole checkpoint folder of a stage, or None."""
    return next(reversed(steps(checkpoints, stage).values()), None)


def end(checkpoints: Path, stage: str) -> TrainerState:
    """The state at the end of a stage; ValueError if the stage is not finished there."""
    newest = latest(checkpoints, stage)
    state = None if newest is None else read_state(newest)
    if state is None or not state.finished:
        raise ValueError(f"{checkpoints} has no checkpoint of the end of {stage}; begin again with --fresh")
    return state


def read_state(folder: Path) -> TrainerState:
    """The trainer's state in a checkpoint folder; ValueError names the file if it is missing or damaged."""
    file = folder / STATE
    try:
        return reading.checked(reading.json_mapping(file), TrainerState, str(file))
    except ValueError as error:
        raise ValueError(f"{error}; use --fresh to begin again") from error


def write_state(folder: Path, state: TrainerState) -> None:
    """Write the trainer's state into a folder that becomes a checkpoint."""
    (folder / STATE).write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")


def restore(folder: Path, model: Model, optimizer: Optimizer | None) -> TrainerState:
    """The state of a checkpoint, after filling the model and the optimizer from it; ValueError if a file is damaged.

    The first of the processes that work together reads the folder and tells the others what is in it.
    """
    weights, averages, state = distributed.run_on_rank0(lambda: _read(folder, model, optimizer))
    sharding.fill(model, weights)
    if optimizer is not None:
        _fill_optimizer(model, optimizer, averages)
    return state


def load_weights(folder: Path, model: Model) -> None:
    """Fill the model from a folder that holds its weights, and need hold nothing else."""
    sharding.fill(model, distributed.run_on_rank0(lambda: model_folder.read_weights(folder, model)))


def _read(
    folder: Path, model: Model, optimizer: Optimizer | None
) -> tuple[dict[str, Tensor], dict[str, Tensor], TrainerState]:
    """(weights, the optimizer's tensors if there is one, state) of a checkpoint folder."""
    weights = model_folder.read_weights(folder, model)  # the recipe says what model and task are, not the folder
    state = read_state(folder)
    averages: dict[str, Tensor] = {}
    if optimizer is not None:
        file = folder / "optimizer.safetensors"
        try:
            averages = tensors.read(file)
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(f"{file} is missing or damaged; use --fresh to begin again") from error
        if not {key.rpartition("/")[0] for key in averages} <= _parameters(model, optimizer).keys():
            raise ValueError(f"{file} is missing or damaged; use --fresh to begin again")
    return weights, averages, state


def _whole(model: Model, task: Task) -> Model:
    """The model itself or, of one whose weights are divided, an ordinary copy on the CPU."""
    if not sharding.is_sharded(model):
        return model
    weights = {name: sharding.full(value).cpu() for name, value in model.state_dict().items()}
    copied = families.build(model.settings, task, model.context)
    copied.load_state_dict(weights)
    return copied


def _optimizer_tensors(model: Model, optimizer: Optimizer | None) -> dict[str, Tensor]:
    """The optimizer's averages and step counts as `<parameter>/<quantity>`."""
    if optimizer is None:
        return {}
    return {
        f"{name}/{quantity}": sharding.full(value).detach().cpu()
        for name, parameter in _parameters(model, optimizer).items()
        for quantity, value in [*optimizer.state.get(parameter, {}).items(), (ITSELF, parameter)]
        if quantity != ITSELF or name.startswith("beside.")
    }


def _fill_optimizer(model: Model, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put saved averages back; the inverse of `_optimizer_tensors`."""
    parameters = _parameters(model, optimizer)
    for key, value in tensors.items():
        name, quantity = key.rsplit("/", 1)
        parameter = parameters[name]
        if quantity == ITSELF:
            parameter.data.copy_(value)
        else:
            optimizer.state[parameter][quantity] = sharding.like(parameter, value.to(parameter.device))


def _parameters(model: Model, optimizer: Optimizer) -> dict[str, Tensor]:
    """The model's parameters, and those of the optimizer's groups that name theirs, as `beside.<name>`."""
    named = [zip(group.get("names", ()), group["params"], strict=False) for group in optimizer.param_groups]
    return {**dict(model.named_parameters()), **{f"beside.{name}": own for pairs in named for name, own in pairs}}
