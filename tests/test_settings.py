"""What identifies a run: every field but those that change nothing of what is computed."""

from pydantic import Field, SerializeAsAny

from chainlift.settings import NOT_HASHED, Settings


class Part(Settings):
    rate: float = 1.0
    kept: int = Field(default=1, json_schema_extra=NOT_HASHED)


class Whole(Settings):
    typed: Part = Part()
    chosen: SerializeAsAny[Settings] = Part()
    tracker: str | None = Field(default=None, json_schema_extra=NOT_HASHED)


def test_fields_that_change_nothing_identify_nothing() -> None:
    assert Whole().identity() == {"typed": {"rate": 1.0}, "chosen": {"rate": 1.0}}
    assert Whole(chosen=Part(kept=2), tracker="a").identity() == Whole().identity()
    assert Whole(chosen=Part(rate=2.0)).identity() != Whole().identity()


def test_a_dump_shows_every_field() -> None:
    part = {"rate": 1.0, "kept": 1}
    assert Whole().model_dump() == {"typed": part, "chosen": part, "tracker": None}
