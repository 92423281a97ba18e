"""What identifies a run: later settings count only where they say something new."""

from pydantic import Field, SerializeAsAny

from chainlift.settings import LATER, Settings


class Part(Settings):
    old: int = 1
    new: float | None = Field(default=None, json_schema_extra=LATER)


class Whole(Settings):
    typed: Part = Part()
    chosen: SerializeAsAny[Settings] = Part()
    late: str = Field(default="a", json_schema_extra=LATER)


def test_later_fields_at_their_defaults_identify_nothing() -> None:
    assert Whole().identity() == {"typed": {"old": 1}, "chosen": {"old": 1}}
    changed = Whole(chosen=Part(new=2.0), late="b")
    assert changed.identity() == {"typed": {"old": 1}, "chosen": {"old": 1, "new": 2.0}, "late": "b"}


def test_a_dump_shows_every_field() -> None:
    assert Whole().model_dump() == {"typed": {"old": 1, "new": None}, "chosen": {"old": 1, "new": None}, "late": "a"}
