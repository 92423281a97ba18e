from pathlib import Path

import pytest

from chainlift import yaml_text
from chainlift.settings import Settings
from chainlift.stages import recipe
from chainlift.stages import recipe as recipes
from chainlift.stages.kinds.ntp import NextTokenPrediction


def test_shipped_recipes_are_valid_and_have_a_title() -> None:
    assert {"headline", "tiny", "linear-ntp", "linear-star", "linear-degree"} <= set(recipe.shipped())
    for name in recipe.shipped():
        assert recipe.load(name).title


def test_overrides_are_typed() -> None:
    found = recipe.load(
        "tiny", ["pretrain.lr=1e-3", "posttrain.algorithm=star", "task.d=9", "posttrain.kl=1", "seed=4"]
    )
    assert found.setting("pretrain.lr") == 0.001
    assert found.stages["posttrain"].algorithm == "star"  # pyright: ignore[reportAttributeAccessIssue]
    assert found.task.model_dump()["d"] == 9
    assert found.seed == 4
    assert list(recipe.load("tiny", ["posttrain=null", "continued_pretrain=null"]).stages) == ["pretrain"]


def test_the_digest_is_that_of_what_is_computed() -> None:
    base = recipe.load("tiny")
    assert recipe.load("tiny", seed=7).digest == base.digest
    assert recipe.build(dict(reversed(base.model_dump().items()))).digest == base.digest
    assert recipe.load("tiny", ["title=other"]).digest == base.digest
    for change in (
        "task.d=9",
        "mixture.p_cot=0.3",
        "pretrain.lr=1e-4",
        "posttrain.lr=1e-4",
        "dtype=bfloat16",
        "threads=1",
    ):
        assert recipe.load("tiny", [change]).digest != base.digest
    assert base.run_id == f"tiny-{base.digest}-s0"


def test_what_is_measured_and_kept_is_no_part_of_a_stage() -> None:
    base = recipe.load("tiny")
    for change in (
        "evaluate.every=7", "evaluate.prompts=9", "pretrain.keep=all", "pretrain.checkpoint_every=3",
        "pretrain.title=other", "title=other", "device=cpu",
    ):  # fmt: skip
        changed = recipe.load("tiny", [change])
        assert [changed.stage_digest(name) for name in changed.stages] == [
            base.stage_digest(name) for name in base.stages
        ]


@pytest.mark.parametrize(
    ("change", "others"),
    [
        ("pretrain.lr=1e-4", ["pretrain", "posttrain", "continued_pretrain"]),
        ("seed=4", ["pretrain", "posttrain", "continued_pretrain"]),
        ("model.width=16", ["pretrain", "posttrain", "continued_pretrain"]),
        ("mixture.p_cot=.3", ["pretrain", "posttrain", "continued_pretrain"]),
        ("posttrain.lr=1e-4", ["posttrain", "continued_pretrain"]),
        ("posttrain.start=pretrain@100", ["posttrain", "continued_pretrain"]),
        ("continued_pretrain.token_ratio=2", ["continued_pretrain"]),
    ],
)
def test_a_stage_is_another_if_it_or_what_it_builds_on_is(change: str, others: list[str]) -> None:
    base, changed = recipe.load("tiny"), recipe.load("tiny", [change])
    assert [name for name in base.stages if changed.stage_digest(name) != base.stage_digest(name)] == others


def test_two_names_of_the_same_settings_are_two_stages() -> None:
    """Random streams carry the stage's name."""
    one = recipe.build({"stages": {"a": {"kind": "ntp"}}})
    other = recipe.build({"stages": {"b": {"kind": "ntp"}}})
    assert one.stage_digest("a") != other.stage_digest("b")


def test_a_baseline_takes_over_what_it_does_not_set() -> None:
    found = recipe.load("tiny", ["pretrain.batch_size=7", "continued_pretrain.lr=0.5"])
    baseline = found.stages["continued_pretrain"]
    assert isinstance(baseline, NextTokenPrediction)
    assert (baseline.batch_size, baseline.lr, baseline.optimizer) == (7, 0.5, "muon")
    assert (baseline.start, baseline.total_steps) == ("pretrain", None)
    changed = recipe.override(found, ["pretrain.batch_size=8"]).stages["continued_pretrain"]
    assert isinstance(changed, NextTokenPrediction)
    assert (changed.batch_size, changed.lr) == (8, 0.5)


def test_stages_start_where_the_one_before_ended() -> None:
    kinds_of = {
        "a": {"kind": "ntp"},
        "b": {"kind": "rl"},
        "c": None,
        "d": {"kind": "ntp"},
        "e": {"kind": "rl", "start": None},
    }
    found = recipe.build({"stages": kinds_of})
    assert {name: stage.start for name, stage in found.stages.items()} == {"a": None, "b": "a", "d": "b", "e": None}
    assert [list(one.stages) for one in found.prefixes] == [["a"], ["a", "b"]]
    assert [one.run_id.rpartition("-")[0].rpartition("-")[0] for one in found.prefixes] == ["shared-a", "shared-b"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            ["posttrain.start=pretrian"],
            "posttrain.start: no earlier stage is called 'pretrian', did you mean 'pretrain'",
        ),
        (
            ["pretrain.start=posttrain"],
            "pretrain.start: no earlier stage is called 'posttrain'; known: none, or a folder",
        ),
        (["posttrain.start=pretrain@0"], "posttrain.start: 'pretrain@0' must name a step of pretrain, from 1 to 160"),
        (["posttrain.start=pretrain@161"], "posttrain.start: .* from 1 to 160: pretrain@100"),
        (["posttrain.start=pretrain@x"], "posttrain.start: 'pretrain@x' must name a step"),
        (["posttrain=null"], "continued_pretrain.match_tokens: no earlier stage is called 'posttrain'"),
        (["pretrain=null", "posttrain=null", "continued_pretrain=null"], "stages: .*at least 1"),
        (["pretrain.kind=ntpp"], "pretrain.kind: kind of stage 'ntpp' is not known, did you mean 'ntp'"),
        (["stages.extra={}"], "extra.kind: kind of stage None is not known; known: dpo, ntp, ppo, rl"),
        (["stages.extra=3"], "extra: must hold keys and values"),
        (["stages.Extra={kind: ntp}"], "stages: 'Extra' is no name for a stage"),
        (["stages.seed={kind: ntp}"], "stages: 'seed' is no name for a stage"),
        (["stages.theory={kind: ntp}"], "stages: 'theory' is no name for a stage"),
        (["stages.seeds={kind: ntp}"], "stages: 'seeds' is no name for a stage"),
        (
            ["posttrain.algorithm=star", "posttrain.start=pretrain", "posttrain.keep=[3]"],
            "posttrain.keep: step 3 is within a round",
        ),
        (["continued_pretrain.steps=3"], "continued_pretrain: match_tokens decides how many steps there are"),
        (["posttrain.dynamic_sampling=true", "posttrain.group_size=1"], "posttrain: .*group_size must be at least 2"),
        (["pretrain.keep=some"], r"pretrain.keep: must be last, all, a list of steps, or \{every: n\}"),
        (["pretrain.keep=[200]"], "pretrain.keep: the stage ends after 160 steps"),
        (["pretrain.keep={every: 0}"], "pretrain.keep: must be last, all, a list"),
        (["pretrain.stepps=3"], "pretrain.stepps: unknown key, did you mean 'steps'"),
        (["postrain.lr=3"], "postrain: unknown key, did you mean 'posttrain'"),
        (
            ["pretrain.mixture={p_cot: [[0.1, .2]]}"],
            r"pretrain.mixture.p_cot: a schedule is a list of \[share, value\]",
        ),
        (["pretrain.mixture={p_cot: [[0, .2], [.5, 2]]}"], "pretrain.mixture.p_cot: every value of a schedule"),
        (["mixture.p_cot=1.5"], "mixture.p_cot: .*less than or equal to 1"),
    ],
)
def test_stages_that_do_not_fit_are_refused_in_one_line(changes: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told) as found:
        recipe.load("tiny", changes)
    assert "\n" not in str(found.value)


def test_what_only_looks_inherited_stays() -> None:
    """A stage of another kind than its start takes nothing over, whatever its numbers."""
    more = "stages.more={kind: ntp, start: posttrain, match_tokens: posttrain, lr: 2e-3}"  # posttrain's rate, by chance
    chosen = recipe.load("tiny", [more])
    again = recipe.override(chosen, [])
    assert again.run_id == chosen.run_id
    assert again.setting("more.lr") == 2e-3


def test_the_order_of_stages_identifies_a_run() -> None:
    a, b = {"kind": "ntp", "start": None}, {"kind": "ntp", "start": None, "steps": 3}
    assert recipe.build({"stages": {"a": a, "b": b}}).digest != recipe.build({"stages": {"b": b, "a": a}}).digest


def test_stages_made_in_python_start_where_the_one_before_ended() -> None:
    found = recipe.build({"stages": {"a": NextTokenPrediction(), "b": NextTokenPrediction(), "c": {"kind": "rl"}}})
    assert [stage.start for stage in found.stages.values()] == [None, "a", "b"]


def test_what_runs_share_keeps_the_checkpoints_that_they_begin_with() -> None:
    (first, *_) = recipe.load("tiny", ["posttrain.start=pretrain@40", "pretrain.keep={every: 80}"]).prefixes
    assert first.setting("pretrain.keep") == [40, 80, 160]


def test_a_schedule_of_the_mixture() -> None:
    found = recipe.load("tiny", ["pretrain.mixture={p_cot: [[0, .05], [.5, .25]]}"]).mixture_of("pretrain")
    assert [found.at(share) for share in (0, 0.49, 0.5, 1)] == [0.05, 0.05, 0.25, 0.25]
    assert (found.last, found.largest) == (0.25, 0.25)
    assert found.mean == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "model.family=linar",
            "family 'linar' is not known, did you mean 'linear'.; known: gpt2, linear, llama, mistral",
        ),
        ("model.family=[1]", r"family \[1\] is not known; known: gpt2, linear, llama, mistral"),
        ("task.name=[1]", r"task: task \[1\] is not known; known: .*running_sum"),
        ("task.name={a: 1}", "task: task {'a': 1} is not known; known: .*running_sum"),
        ("model={family: linear, layers: 2}", "model.layers: unknown key; allowed: family, stop_degree"),
        ("model={family: linear, stop_degree: 3}", "model.stop_degree: .* less than or equal to 2"),
        ("model.widht=3", "model.widht: unknown key, did you mean 'width'"),
        ("model.width=10", "model: width 10 must be an even multiple"),
        ("model=3", "model: must hold keys"),
        ("task.modulo=3", "task.modulo: unknown key, did you mean 'modulus'"),
    ],
)
def test_parts_that_are_chosen_by_name_tell_their_own_keys(override: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as found:
        recipe.load("tiny", [override])
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("content", ["a: [1", "- 1", "seed: x", "\tx: 1"])
def test_bad_files_are_one_line(content: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r".") as told:
        recipe.load(str(file))
    assert "\n" not in str(told.value)


NUMBERS = [
    ("tiny", "posttrain.length_penalty"),
    ("tiny", "posttrain.lr"),
    ("tiny", "posttrain.kl"),
    ("tiny", "posttrain.temperature"),
    ("tiny", "posttrain.clip_high"),
    ("tiny", "pretrain.lr"),
    ("tiny", "pretrain.max_grad_norm"),
    ("tiny", "pretrain.max_row_norm"),
    ("tiny", "continued_pretrain.token_ratio"),
    ("tiny", "mixture.p_cot"),
    ("llm-tiny-trl", "pretrain.lr"),
    ("llm-tiny-trl", "posttrain.kl"),
    ("llm-tiny-trl", "posttrain.temperature"),
    ("llm-tiny-trl", "mixture.p_cot"),
    ("llm-tiny-trl", "model.sampling_gib"),
]


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e999"])
@pytest.mark.parametrize(("source", "key"), NUMBERS)
def test_numbers_are_finite(source: str, key: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{key}: .*(finite|greater|less)") as told:
        recipes.load(source, [f"{key}={value}"])
    assert "\n" not in str(told.value)


def test_every_number_of_every_part_is_finite() -> None:
    """The rule of the base class holds for each class of settings that there is, those of tasks too."""

    def all_of(kind: type[Settings]) -> set[type[Settings]]:
        return {kind}.union(*(all_of(one) for one in kind.__subclasses__()))

    for kind in all_of(Settings):
        assert kind.model_config.get("allow_inf_nan") is False, kind


def test_a_part_that_holds_any_value_holds_finite_numbers_too() -> None:
    for options in ("{p: .nan}", "{p: [1, {q: -.inf}]}"):
        with pytest.raises(ValueError, match=r"^task\.options\.p.*: must be a finite number"):
            recipe.load("tiny", [f"task={{name: reasoning_gym, dataset: leg_counting, options: {options}}}"])


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("pretrain.steps=1:30", r"pretrain.steps: .*integer.*'1:30'"),
        ("pretrain.steps=1_000", r"pretrain.steps: .*integer.*'1_000'"),
        ("compile=on", r"compile: .*boolean.*'on'"),
        ("compile=yes", r"compile: .*boolean.*'yes'"),
        ("seed=99999999999999999999", "seed: .* is too large"),
        ("title=&a [1]", "title: .* anchors and aliases are not read"),
        ("pretrain={lr: 1, lr: 2}", "pretrain: .* the key 'lr' is given twice"),
        ("title=!!python/name:os.system", "title: .* tags"),
        (".".join("a" * 40) + "=1", "no recipe has keys that deep"),
        ("pretrain.steps=" + "9" * 100_000, "is too large"),
        ("pretrain.x=" + "y" * 100_000, "unknown key"),
        ("name=" + "Y" * 100_000, "name: "),
    ],
)
def test_what_a_value_is_not(override: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as found:
        recipe.load("tiny", [override])
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 1000


def test_numbers_are_those_that_people_write() -> None:
    found = recipe.load("tiny", ["task.d=010", "posttrain.length_penalty=-.1", "title=on", "pretrain.lr=1e-3"])
    assert found.task.model_dump()["d"] == 10
    assert found.setting("posttrain.length_penalty") == -0.1
    assert found.title == "on"


def test_a_recorded_recipe_is_read_as_it_was_written(tmp_path: Path) -> None:
    for title in ("on", "1e-3", "010", "1:30", "", "é\n"):
        one = recipe.load("tiny").model_copy(update={"title": title})
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml_text.dump(one.model_dump(mode="json")), encoding="utf-8")
        assert recipe.load(str(file)) == one
