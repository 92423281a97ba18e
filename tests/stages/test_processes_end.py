"""Several processes that are stopped, killed, started anew or launched on two machines: runs end as those of one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages.launching import ENVIRONMENT, SHORT, TORCHRUN, WORKER, assert_equal, port, rows, start, wait_for
from tests.stages.together import run_all


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
    assert "continues at update" in told
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
