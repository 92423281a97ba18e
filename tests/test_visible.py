"""What a terminal would obey is written out."""

from chainlift.visible import LONGEST, one_line, shown, visible


def test_sequences_marks_and_halves_of_pairs_are_written_out() -> None:
    assert visible("a\x1b[31mb\x07\x9bc") == r"a\x1b[31mb\x07\x9bc"
    assert visible("\u202eabc\u200b\ufeff\ud800\u2028") == r"\u202eabc\u200b\ufeff\ud800\u2028"
    assert visible("größer ≤ [b] 数") == "größer ≤ [b] 数"
    assert visible("a\nb\rc\td") == r"a\nb\rc\td"
    assert visible("a\nb\rc", lines=True) == "a\nb\\rc"


def test_an_error_is_one_line_with_an_end() -> None:
    assert one_line("a\nb\x1b") == r"a b\x1b"
    assert len(one_line("x" * 10**6)) < LONGEST + 10


def test_a_large_value_is_shown_in_short() -> None:
    wide = "lol"
    for _ in range(12):
        wide = [wide] * 9  # 9**12 texts, as an alias bomb has them
    assert len(shown(wide)) < 200
    assert len(shown("x" * 10**6)) < 100
    assert len(shown({str(i): i for i in range(10**5)})) < 200
    assert "bits" in shown(10**10000)
    assert shown("a\x1b") == r"'a\x1b'"
