"""The check on a GPU, tried with tiny sizes where there is none: every part leaves what it is there for."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu_check import __main__ as check
from benchmarks.gpu_check import decoding_graphs, diagnosis
from benchmarks.gpu_check.profiling import union
from benchmarks.gpu_check.record import Record
from benchmarks.gpu_check.sizes import headline
from chainlift.bench.machine import Machine
from chainlift.bench.timing import Work
from chainlift.learning import next_token
from chainlift.models import families
from chainlift.models.transformer.cuda_graphs import RECORD_AFTER, recording_after
from chainlift.seeding import stream
from chainlift.tasks import registry as tasks

STAGES = ("pretrain", "posttrain")
CHECKS = ("responses", "graphs", "scored", "bfloat16")
DTYPES = ("float32", "bfloat16")
KEYS = {
    "diagnosis": {
        *(f"{name}, {dtype}, as it is" for name in ("shapes", "operators") for dtype in DTYPES),
        *(f"shapes, {dtype}, plain cuBLAS" for dtype in DTYPES),
        "shapes, bfloat16, cuDNN's attention",
        *(f"parts of stage 1, {dtype}" for dtype in DTYPES),
    },
    "right": {"losses", "whole_run", "whole_run_dtype", *(f"{name}_{stage}" for name in CHECKS for stage in STAGES)},
    "headline": {
        *("run", "page", "recording", "run, dtype=bfloat16"),
        *(f"{action}, as it is" for action in ("stage1", "update_early", "update_late", "evaluate_late")),
        *("update_late, with cuda graphs", "stage1, bfloat16", "stage1, TF32"),
        *(f"headline_{name}_{stage}" for name in CHECKS for stage in STAGES),
        *("times: rollout, early, float32", "times: rollout, late, float32"),
    },
    "peers": {
        "rate, headline",
        *(f"{name}, headline, {dtype}" for name in ("stage1", "TRL update") for dtype in DTYPES),
    },
    "text": {"llm-tiny", "llm-tiny-trl"},
}


@pytest.mark.slow
@pytest.mark.parametrize("part", check.PARTS)
def test_every_measurement_of_a_part_is_made(part: str, tmp_path: Path) -> None:
    record = Record(tmp_path, part, 300, tiny=True)
    importlib.import_module(f"benchmarks.gpu_check.{part}").run(record, tmp_path / "work")
    found = json.loads((tmp_path / f"{part}.json").read_text(encoding="utf-8"))
    assert set(found) >= KEYS[part]
    assert {key: one for key, one in found.items() if "error" in one or "skipped" in one} == {}
    assert all(one["line"] and one["seconds"] >= 0 for one in found.values())
    told = {"diagnosis": _diagnosis, "right": _right, "headline": _headline, "peers": _peers, "text": _text}[part]
    told(found)


def _diagnosis(found: dict[str, Any]) -> None:
    shapes = found["shapes, bfloat16, as it is"]
    assert len(shapes["new batches"]) == len(shapes["the same batch"]) + 1 == diagnosis.NEW
    assert all(seconds > 0 for seconds in shapes["new batches of equal shapes"])
    operators = found["operators, bfloat16, cuDNN's attention"]["operators"]
    assert operators == sorted(operators, key=lambda one: -one["ms"])
    parts = found["parts of stage 1, float32"]
    assert set(parts) >= set(diagnosis.FORMS)
    assert parts["one padded batch"]["pieces"] == 1
    recipe = headline(tiny=True)
    forms = diagnosis.draw_batch(
        recipe, tasks.build(recipe.task), 1000
    ).parts  # so small a batch may have one form only
    assert parts["as it is"]["pieces"] == len(forms)
    assert len(parts["as it is"]["gradient"]) == diagnosis.NEW


def _right(found: dict[str, Any]) -> None:
    assert found["losses"]["equal"]
    assert found["losses"]["rl_rounds_with_equal_samples"] == found["losses"]["rl_updates"] == 2
    for stage in STAGES:
        assert found[f"responses_{stage}"]["greedy_rows_that_differ"] == 0
        assert found[f"graphs_{stage}"]["rows_that_differ_with_drafts"] == 0
        assert 0 < found[f"scored_{stage}"]["logp_difference_max"] < 1e-4
        assert found[f"bfloat16_{stage}"]["within"]
        assert found[f"bfloat16_{stage}"]["losses"][0] != found[f"bfloat16_{stage}"]["losses"][1]


def _headline(found: dict[str, Any]) -> None:
    assert set(found["run"]["stage_seconds"]) == {"pretrain", "posttrain", "continued_pretrain"}
    assert 0 < found["run"]["within"]["evaluate"] < found["run"]["wall_seconds"]
    assert found["stage1, as it is"]["operators"] > 100
    assert found["recording"]["plain_step"] > 0


def _peers(found: dict[str, Any]) -> None:
    own, peer = found["stage1, headline, float32"]["cases"]
    assert own["utilization"] > 0
    assert peer["kind"] == "peer"
    assert peer["ratio"]["median"] > 0


def _text(found: dict[str, Any]) -> None:
    for name in ("llm-tiny", "llm-tiny-trl"):
        assert found[name]["pretrain_sequences_per_second"] > 0
        assert found[name]["summary"]["posttrain"]["rollouts"] == 4


def test_the_joined_batch_has_the_same_loss() -> None:
    recipe = headline(tiny=True)
    task = tasks.build(recipe.task)
    model = families.build(recipe.model, task).initialize(stream(0, "model"))
    batch = diagnosis.draw_batch(recipe, task, 1)
    whole = diagnosis.joined(batch, task.vocabulary.eos)
    assert whole.num_tokens == batch.num_tokens
    assert not len(whole.short.prompts)
    losses = [next_token.loss(model, some, "token_mean")[0].item() for some in (batch, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_measurement_that_fails_or_has_no_time_leaves_a_word_and_the_next_goes_on(tmp_path: Path) -> None:
    def fails() -> tuple[dict[str, Any], str]:
        raise RuntimeError("out of memory")

    def lacks() -> tuple[dict[str, Any], str]:
        import no_such_library  # pyright: ignore[reportMissingImports]

        return {"library": no_such_library}, ""

    record = Record(tmp_path, "part", 60)
    assert record.measure("one", fails) is None
    assert record.measure("two", lacks) is None
    assert record.measure("three", lambda: ({"number": 3}, "three"), needs=1e6) is None
    assert record.measure("four", lambda: ({"number": 4}, "four")) == {"number": 4}
    found = json.loads((tmp_path / "part.json").read_text(encoding="utf-8"))
    assert found["one"]["error"][-1] == "RuntimeError: out of memory"
    assert found["two"]["skipped"] == "no no_such_library"
    assert found["three"]["skipped"] == "no time left"
    assert found["four"]["number"] == 4
    assert [file.name for file in tmp_path.iterdir()] == ["part.json"]


def test_what_an_earlier_check_has_found_is_not_made_again(tmp_path: Path) -> None:
    earlier, made = tmp_path / "earlier", []
    earlier.mkdir()
    content = {
        "one": {"number": 1, "line": "one"},
        "two": {"skipped": "no time left", "line": "skipped"},
        "three": {"error": ["RuntimeError"], "line": "FAILED"},
    }
    (earlier / "part.json").write_text(json.dumps(content), encoding="utf-8")
    record = Record(tmp_path, "part", 60, earlier=earlier)
    for name in ("one", "two", "three", "four"):
        found = record.measure(name, lambda name=name: (made.append(name) or {"number": 9}, name))
        assert found is not None
        assert found["number"] == (1 if name == "one" else 9)
    assert made == ["two", "three", "four"]
    assert set(json.loads((tmp_path / "part.json").read_text(encoding="utf-8"))) == set(made)


def test_each_way_of_recording_is_in_force_while_its_case_runs() -> None:
    cuda = torch.device("cuda")
    seen: list[tuple[int | None, bool]] = []

    def doing(step: int) -> Any:
        seen.append((recording_after(cuda), torch.cuda.graph is decoding_graphs.bare))
        return Work

    for case in decoding_graphs.cases(Machine("cpu"), doing):
        case.make()(0)
    assert seen == [(None, False), (0, False), (0, True), (RECORD_AFTER, False), (RECORD_AFTER, True)]
    assert recording_after(cuda) is None


def test_a_part_that_hangs_or_crashes_is_ended_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "GRACE", 0.2)
    asleep, crashed = "import time; time.sleep(60)", "raise SystemExit(3)"
    usual = subprocess.Popen

    def popen(code: str) -> Any:
        return lambda command, **options: usual([sys.executable, "-c", code], **options)

    monkeypatch.setattr(check.subprocess, "Popen", popen(asleep))
    began = time.monotonic()
    assert check.start("right", tmp_path, tmp_path, 0.3, tiny=True).startswith("ended after")
    assert time.monotonic() - began < 20
    monkeypatch.setattr(check.subprocess, "Popen", popen(crashed))
    assert check.start("right", tmp_path, tmp_path, 30, tiny=True).startswith("exit status 3")


def test_busy_time_counts_what_runs_side_by_side_once() -> None:
    assert union([(0, 2), (1, 3), (5, 6), (5, 5.5)]) == 4
    assert union([]) == 0
