"""Several processes learn what one would: real processes, on this machine, over gloo."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from chainlift import distributed
from chainlift.learning import next_token
from chainlift.learning.next_token import LossWeighting
from chainlift.models import families
from chainlift.seeding import stream
from chainlift.stages import recipe as recipes
from chainlift.tasks import mixture
from chainlift.tasks import registry as tasks
from chainlift.tasks.base import Demonstrations
from chainlift.tasks.mixture import MixtureBatch
from tests.stages.together import run_all

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
WORKER = Path(__file__).parent / "together.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

# float32 sums in another order differ by a few units of 2^-24 = 6e-8, and 40 updates let that grow little: the largest
# difference seen in any row is 3e-7. A count or a mean that was taken over a share instead of the batch is off by 1e-2.
TOLERANCE = 1e-5

SHORT = "pretrain.steps=12|posttrain.steps=6|continued_pretrain=null"
LEARNERS = {
    "star": "posttrain.algorithm=star|posttrain.restart=true",
    "plain reinforce": "posttrain.algorithm=reinforce|posttrain.advantage=none",
    "reinforce": "posttrain.algorithm=reinforce",
    "rloo": "posttrain.algorithm=rloo",
    "grpo off policy": "posttrain.steps_per_round=3|posttrain.minibatches=2|posttrain.kl=0.05",
    "dr_grpo": "posttrain.algorithm=dr_grpo",
    "dapo": "posttrain.algorithm=dapo|posttrain.dynamic_sampling=true",
    "gspo": "posttrain.algorithm=gspo",
    "cispo": "posttrain.algorithm=cispo|posttrain.steps_per_round=2",
    "ppo": "stages.posttrain={kind: ppo, prompts: 9, steps: 6, minibatches: 2}",
    "dpo": "stages.posttrain={kind: dpo, prompts: 5, group_size: 4, steps: 6, steps_per_round: 2}",
    "sequence mean": "pretrain.loss_weighting=sequence_mean|pretrain.average_tail=0.5",
    "sequence sum": "pretrain.loss_weighting=sequence_sum|model.family=mistral|posttrain.aggregate=token_mean",
    "muon": "pretrain.optimizer=muon|posttrain.optimizer=muon|pretrain.average_tail=0.5",
    "linear": "model={family: linear}|pretrain.optimizer=sgd|pretrain.max_row_norm=0.5|pretrain.average_tail=0.5",
}
UNEVEN = {
    "shares of many sizes": "pretrain.batch_size=5|posttrain.prompts=4|evaluate.during=7|evaluate.prompts=1031",
    "empty shares": "pretrain.batch_size=1|posttrain.prompts=2|evaluate.during=1|evaluate.prompts=2|posttrain.kl=0.1",
    "a form that is missing": "mixture.p_cot=0|pretrain.batch_size=2|posttrain.algorithm=star|posttrain.prompts=1",
}


def rows(out: Path) -> list[dict[str, Any]]:
    folder = next(path for path in out.iterdir() if path.name.startswith("small-"))
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}/{key}")
    elif isinstance(value, list):
        for key, inner in enumerate(value):
            yield from flat(inner, f"{name}/{key}")
    else:
        yield name, value


def assert_equal(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        wanted, there = dict(flat(one)), dict(flat(other))
        assert set(there) == set(wanted)
        for name, value in wanted.items():
            told = f"{one['stage']} {one['kind']} {one['step']} {name}"
            if isinstance(value, float):
                assert there[name] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), told
            else:
                assert there[name] == value, told


def together(count: int, recipe: Path, out: Path, variants: list[str], *, shard: bool = False) -> None:
    """Run variants of a recipe on `count` processes."""
    how = "shard" if shard else "plain"
    done = subprocess.run(
        [*TORCHRUN, str(count), WORKER, recipe, out, how, *variants],
        capture_output=True,
        text=True,
        timeout=110,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 3, 7, 8])
def test_shares_are_parts_as_even_as_can_be(count: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: count)
    found = []
    for rank in range(count):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        found.append(list(range(n))[distributed.shard(n)])
    assert found == [part.tolist() for part in torch.arange(n).tensor_split(count)]


@pytest.mark.parametrize("weighting", ["token_mean", "sequence_mean", "sequence_sum"])
def test_losses_of_shares_add_up_to_the_loss(weighting: LossWeighting, recipe: Path) -> None:
    one = recipes.load(str(recipe))
    task = tasks.build(one.task)
    model = families.build(one.model, task).initialize(stream(0, "model"))
    whole = mixture.draw(task, one.mixture, 16, seed=0, name="test", step=0)
    assert len(whole.long.prompts) not in (0, 16)

    def cut(part: Demonstrations, rows: slice) -> Demonstrations:
        return Demonstrations(part.prompts[rows], part.responses[rows], part.mask[rows])

    cuts = [slice(0, 2), slice(2, 2), slice(2, None)]  # the second share is empty
    shares = [MixtureBatch(short=cut(whole.short, rows), long=cut(whole.long, rows)) for rows in cuts]
    expected, of_whole = next_token.loss(model, whole, weighting)
    parts = [next_token.loss(model, share, weighting, whole) for share in shares]
    assert sum(loss.item() for loss, _ in parts) == pytest.approx(expected.item(), rel=1e-6)
    for name, value in of_whole.items():
        assert sum(metrics[name] or 0.0 for _, metrics in parts) == pytest.approx(value, rel=1e-6)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(recipe: Path, tmp_path: Path) -> None:
    variants = [f"{SHORT}|{variant}" for variant in LEARNERS.values()]
    run_all(recipe, tmp_path / "one", variants)
    together(2, recipe, tmp_path / "two", variants)
    for number in range(len(variants)):
        assert_equal(rows(tmp_path / "one" / str(number)), rows(tmp_path / "two" / str(number)))


@pytest.mark.slow
def test_shares_may_be_uneven_and_empty(recipe: Path, tmp_path: Path) -> None:
    variants = [f"{SHORT}|{variant}" for variant in UNEVEN.values()]
    run_all(recipe, tmp_path / "one", variants)
    together(3, recipe, tmp_path / "three", variants)
    for number in range(len(variants)):
        assert_equal(rows(tmp_path / "one" / str(number)), rows(tmp_path / "three" / str(number)))


@pytest.mark.slow
def test_divided_weights_change_nothing(recipe: Path, tmp_path: Path) -> None:
    chosen = ("star", "grpo off policy", "sequence mean", "muon", "linear")
    variants = [f"{SHORT}|{LEARNERS[name]}" for name in chosen] + [f"{SHORT}|{UNEVEN['empty shares']}"]
    run_all(recipe, tmp_path / "one", variants)
    together(2, recipe, tmp_path / "two", variants, shard=True)
    for number in range(len(variants)):
        assert_equal(rows(tmp_path / "one" / str(number)), rows(tmp_path / "two" / str(number)))


def port() -> int:
    """One that is free."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(count: int, recipe: Path, out: Path, *options: str) -> list[subprocess.Popen[str]]:
    """A run on `count` processes, told of each other as torchrun does, without torchrun between them and the test."""
    shared = ENVIRONMENT | {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port())}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "chainlift", "run", recipe, "--out", out, *options],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def wait_for(out: Path, stage: str, step: int, running: list[subprocess.Popen[str]]) -> None:
    """Until some metrics.jsonl shows update `step` of the stage."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in running:
            assert process.poll() is None, process.communicate()[1]
        for file in out.glob("*/metrics.jsonl"):
            found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:-1]]
            if any(row["stage"] == stage and row["step"] >= step for row in found):
                return
        time.sleep(0.01)
    raise AssertionError(f"{stage} never reached update {step}")


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--shard"]], ids=["whole", "sharded"])
def test_another_number_of_processes_goes_on_after_a_kill(options: list[str], recipe: Path, tmp_path: Path) -> None:
    run_all(recipe, tmp_path / "one", ["continued_pretrain=null"])
    out = tmp_path / "killed"
    for count, stage, step in ((2, "pretrain", 17), (1, "posttrain", 4), (2, "posttrain", 13), (1, "", 0)):
        running = start(count, recipe, out, "continued_pretrain=null", *(options if count > 1 else []))
        if stage:
            wait_for(out, stage, step, running)
            for process in running:
                process.kill()
        ended = [process.communicate(timeout=60)[1] for process in running]
        assert all(process.returncode == (-signal.SIGKILL if stage else 0) for process in running), ended
    assert_equal(rows(tmp_path / "one" / "0"), rows(out))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_one_stops_all_and_they_go_on(number: signal.Signals, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    for stage, step, receiver in (("pretrain", 9, 1), ("posttrain", 4, 0)):
        running = start(2, recipe, out)
        wait_for(out, stage, step, running)
        running[receiver].send_signal(number)
        told = [process.communicate(timeout=60)[1] for process in running]
        assert [process.returncode for process in running] == [130, 130]
        assert told[0].splitlines()[-1] == "stopped; the same command goes on from the last checkpoint"
        assert told[1] == ""
    running = start(1, recipe, out)
    assert running[0].communicate(timeout=60)[1]
    run_all(recipe, tmp_path / "one", [""])
    assert_equal(rows(tmp_path / "one" / "0"), rows(out))


@pytest.mark.slow
def test_torchrun_starts_them_anew(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    command = [*TORCHRUN, "2", "--max-restarts", "1", "-m", "chainlift", "run", recipe, "--out", out]
    launcher = subprocess.Popen(
        [*command, "continued_pretrain=null"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    wait_for(out, "pretrain", 17, [launcher])
    workers = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(launcher.pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(workers.stdout.split()[1]), signal.SIGKILL)
    told = launcher.communicate(timeout=100)[1]
    assert launcher.returncode == 0, told
    assert "goes on at update" in told
    run_all(recipe, tmp_path / "one", ["continued_pretrain=null"])
    assert_equal(rows(tmp_path / "one" / "0"), rows(out))


@pytest.mark.slow
def test_two_machines_need_no_common_folder(recipe: Path, tmp_path: Path) -> None:
    """Two launchers that meet at a port, each with a folder of its own, as on two machines."""
    meeting = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(port())]
    launchers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", *meeting, "--node-rank", str(number)),
                *(WORKER, recipe, tmp_path / str(number), "plain", SHORT),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        for number in range(2)
    ]
    told = [launcher.communicate(timeout=100)[1] for launcher in launchers]
    assert [launcher.returncode for launcher in launchers] == [0, 0], told
    assert not (tmp_path / "1").exists()
    run_all(recipe, tmp_path / "one", [SHORT])
    assert_equal(rows(tmp_path / "one" / "0"), rows(tmp_path / "0" / "0"))


@pytest.mark.slow
def test_who_loses_the_others_says_so(recipe: Path, tmp_path: Path) -> None:
    running = start(2, recipe, tmp_path)
    wait_for(tmp_path, "pretrain", 3, running)
    running[1].kill()
    told = [process.communicate(timeout=60)[1] for process in running]
    assert running[0].returncode == 1
    assert told[0].splitlines()[-1].startswith("error: another of the processes has ended")
    assert "Traceback" not in told[0]


@pytest.mark.slow
def test_bad_input_is_one_line_of_the_first_process(recipe: Path, tmp_path: Path) -> None:
    running = start(2, recipe, tmp_path, "posttrain.algorithm=gropo")
    told = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [2, 2]
    assert len(told[0].splitlines()) == 1
    assert told[1] == ""
    alone = start(1, recipe, tmp_path, "--shard")[0]
    assert "start several of them with torchrun" in alone.communicate(timeout=60)[1]
    assert alone.returncode == 2
