from pathlib import Path

import pytest

from chainlift import recipe, yaml_text
from chainlift.settings import Settings
from chainlift.sweep import kinds


def test_shipped_recipes_are_valid_and_have_a_title() -> None:
    assert {"headline", "tiny", "linear-ntp", "linear-star", "linear-degree"} <= set(recipe.shipped())
    for name in recipe.shipped():
        assert recipe.load(name).title


def test_overrides_are_typed() -> None:
    found = recipe.load(
        "tiny", ["pretrain.lr=1e-3", "posttrain.algorithm=star", "task.d=9", "posttrain.kl=1", "seed=4"]
    )
    assert found.pretrain.lr == 0.001
    assert found.posttrain is not None
    assert found.posttrain.algorithm == "star"
    assert found.task.model_dump()["d"] == 9
    assert found.seed == 4
    assert recipe.load("tiny", ["posttrain=null", "continued_pretrain=null"]).posttrain is None


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


def test_stage_1_is_the_same_for_all_of_rl() -> None:
    base = recipe.load("tiny").stage_1
    for change in (
        "posttrain.algorithm=star",
        "posttrain.updates=3",
        "continued_pretrain=null",
        "evaluate.posttrain_every=9",
    ):
        assert recipe.load("tiny", [change]).stage_1.run_id == base.run_id
    assert recipe.load("tiny", ["model.width=32"]).stage_1.run_id != base.run_id


def test_settings_that_came_later_leave_the_digests_of_older_runs_alone() -> None:
    base = recipe.load("headline-adamw")
    for default in ("pretrain.optimizer=adamw", "posttrain.max_row_norm=null", "pretrain.average_tail=0.0"):
        assert recipe.load("headline-adamw", [default]).digest == base.digest
    for change in ("pretrain.optimizer=muon", "posttrain.max_row_norm=3.0", "pretrain.average_tail=0.5"):
        assert recipe.load("headline-adamw", [change]).digest != base.digest
    assert base.model_dump()["pretrain"]["optimizer"] == "adamw"  # people see every key


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.family=linar", "family 'linar' is not known, did you mean 'linear'.; known: gpt2, linear, mistral"),
        ("model.family=[1]", r"family \[1\] is not known; known: gpt2, linear, mistral"),
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


def test_a_baseline_needs_rl() -> None:
    with pytest.raises(ValueError, match="continued_pretrain"):
        recipe.build({"continued_pretrain": {}})


NUMBERS = [
    ("tiny", "posttrain.length_penalty"),
    ("tiny", "posttrain.lr"),
    ("tiny", "posttrain.kl"),
    ("tiny", "posttrain.temperature"),
    ("tiny", "posttrain.clip_high"),
    ("tiny", "pretrain.lr"),
    ("tiny", "pretrain.clip_norm"),
    ("tiny", "pretrain.max_row_norm"),
    ("tiny", "continued_pretrain.token_ratio"),
    ("tiny", "mixture.p_cot"),
    ("llm-tiny", "finetune.lr"),
    ("llm-tiny", "posttrain.kl"),
    ("llm-tiny", "evaluate.temperature"),
    ("llm-tiny", "mixture.p_cot"),
    ("llm-tiny", "sampling_gib"),
]


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e999"])
@pytest.mark.parametrize(("source", "key"), NUMBERS)
def test_numbers_are_finite(source: str, key: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"{key}: .*(finite|greater|less)") as told:
        kinds.load(source, [f"{key}={value}"])
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
        (".".join("a" * 40) + "=1", "no key lies so deep"),
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
    assert found.posttrain is not None
    assert found.posttrain.length_penalty == -0.1
    assert found.title == "on"


def test_a_recorded_recipe_is_read_as_it_was_written(tmp_path: Path) -> None:
    for title in ("on", "1e-3", "010", "1:30", "", "é\n"):
        one = recipe.load("tiny").model_copy(update={"title": title})
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml_text.dump(one.model_dump(mode="json")), encoding="utf-8")
        assert recipe.load(str(file)) == one
