"""Numbers in texts, read as exact fractions: a table of tricky ones, and properties."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlift.text.grading import numbers
from chainlift.text.grading.exact_grader import ExactGrader

READ = {
    "72": 72, "72.": 72, " 72 ": 72, "+72": 72, "-72": -72, "- 72": -72, "\u221272": -72, "072": 72, "(72)": 72,
    "72.0": 72, "72.50": "145/2", ".5": "1/2", "0.1": "1/10", "1,234": 1234, "1,234,567.8": "6172839/5",
    "12,345": 12345, "1{,}234": 1234, r"1\,234": 1234, "$18": 18, "$ 18": 18, "-$18": -18, "$-18": -18, r"\$18": 18,
    "\u20ac1,000": 1000, "\u00a35.50": "11/2", "18 dollars": 18, "$18.00 dollars": 18, "18%": 18, r"18\%": 18,
    "18 per cent": 18, "5 km/h": 5, "5km": 5, "12 m^2": 12, "12 m^{2}": 12, r"90^\circ": 90, r"90^{\circ}": 90,
    "3/4": "3/4", "-3/4": "-3/4", "3 / 4": "3/4", "1 1/2": "3/2", "0.5/2": "1/4", r"\frac{3}{4}": "3/4",
    r"-\frac{3}{4}": "-3/4", r"\frac34": "3/4", r"\dfrac{3}{4}": "3/4", r"1\frac{1}{2}": "3/2", "1.5e3": 1500,
    "2E-2": "1/50", "1e+3": 1000, "x = 5": 5, "x=-5": -5, r"\text{5 apples}": 5, r"5\text{ cm}": 5,
    r"\left(5\right)": 5, "She has 5 apples": 5, "72 (seventy-two)": 72, "\u00a072": 72,
    "\u00bd": "1/2", "3 + 4 = 7": 7,
}  # fmt: skip
NOT_READ = [
    "", "five", "1,2", "1,23", "1,234,5", "12,34", "7 2", "72/", "/72", "3.4.5", "v2", "x_2", "2^3", "1/0", "2:30",
    "10-15", "3 + 4", "1e999", "1" * 61, r"\frac{x}{2}", r"\sqrt{2}", r"2\pi", "x+1", "x-1", "2*3", "(a)-1",
    "nan", "inf", "3x = 7", "3 or more", "17 = 18",
]  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_is_read(text: str) -> None:
    assert numbers.read(text) == Fraction(READ[text])


@pytest.mark.parametrize("text", NOT_READ)
def test_is_no_number_or_several(text: str) -> None:
    assert numbers.read(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Tom has 3 + 4 = 7 apples.", 7),
        ("10-15 dollars", None),
        ("so 20-5=15.", 15),
        ("on 1,2 and 3", 3),
        ("1,234 of 5,678.", 5678),
        ("3 of them. 4 of these.\nAll of them.", 4),
        ("nothing", None),
        ("so 3, or 4x", None),
    ],
)
def test_the_last_number_of_a_text(text: str, value: int | None) -> None:
    assert numbers.last(text) == value


def spellings(value: Fraction) -> list[str]:
    """The value as people write it."""
    top, bottom = value.numerator, value.denominator
    found = [f"{top}/{bottom}", rf"\frac{{{top}}}{{{bottom}}}" if top >= 0 else rf"-\frac{{{-top}}}{{{bottom}}}"]
    if bottom == 1:
        found += [str(top), f"{top:,}", f"{top}.00", f"{top:,}.0", f"{top:,}".replace(",", "{,}")]
    return found


@given(
    st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=1000),
    st.sampled_from(["{}", "${}", "{} apples", "{}.", "  {}", "x = {}", "{}%", "({})"]),
)
def test_every_spelling_is_read_as_the_value(value: Fraction, around: str) -> None:
    for text in spellings(value):
        assert numbers.read(around.format(text)) == value


@given(st.text(alphabet="0123456789.,/-+eE$% \\{}frac^_ab\n", max_size=60))
def test_reading_never_fails(text: str) -> None:
    for value in (numbers.read(text), numbers.last(text)):
        assert value is None or isinstance(value, Fraction)


PIECES = [
    "1", "1,", "1 ", "\\", "\\text{", "-", "1.", "^", "\\frac{", "1/", " ", "1 1/", "####", "#### ", "\\boxed{",
    "\\boxed", "\\boxed{}", "\n", "\nQuestion:", "10^", "1 000 ", "(", " (", "a(", "*", "**a", "$", "$1$", "<|", "1 = ",
    "is ", "1 or ", ". A", "1 million ", "\u00bd", "{", "\\text{1} ", "!", "1_", "'1",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    """Not a measurement: quadratic work on 60,000 characters would take minutes, as a model that repeats itself."""
    started = time.monotonic()
    text = piece * (60_000 // len(piece))
    for one in (text, text + "5", "5" + text):
        ExactGrader("####").grade_all([one, "#### " + one, one + "####", "#### " + one[:1999]], ["5"] * 4)
    assert time.monotonic() - started < 20
