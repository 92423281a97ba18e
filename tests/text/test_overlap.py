import time

import pytest

from chainlift.text.overlap import OverlapSettings, overlap, words
from chainlift.text.problem import Problem
from chainlift.text.sources.gsm8k import Gsm8k, Gsm8kSettings

TRAIN = "Mia has 12 red pens and 3 blue pens in a box at home. How many pens does Mia have?"
OTHER = "A bus leaves town with 40 people on board. At each stop five of them get off."


def problems(*questions: str) -> list[Problem]:
    return [Problem(question, "s", "1") for question in questions]


def test_words() -> None:
    assert words("A 120-page book, $1,200.50!") == ["a", "120", "page", "book", "1200.50"]
    assert words("x-1 = 3 - 4") == ["x", "-", "1", "=", "3", "-", "4"]
    assert words("two-year-old, 12,34") == ["two", "year", "old", "12", "34"]


def test_exact_ignores_case_blanks_and_punctuation() -> None:
    same = "  mia has 12 RED pens, and 3 blue pens\nin a box at home; how many pens does Mia have"
    found = overlap(problems(OTHER, TRAIN), problems(OTHER + " Who drives?", same))
    assert found.exact == (1,)
    assert (found.examples[0].test, found.examples[0].train, found.examples[0].share) == (1, 1, 1.0)


@pytest.mark.parametrize("changed", ["What is 3 - 4?", "What is 3 + 5?", "What is 34?", "What is 3 / 4?"])
def test_numbers_and_signs_tell_questions_apart(changed: str) -> None:
    assert overlap(problems("What is 3 + 4?"), problems(changed)).exact == ()


def test_near_by_the_share_of_n_grams() -> None:
    """20 words, so 18 different 3-grams; a new first word spoils one of them, a new name at the end two more."""
    test = problems(TRAIN.replace("Mia has", "Zoe has"), TRAIN.replace("Mia", "Zoe"), OTHER)
    train = problems("Nothing of it at all.", TRAIN)
    assert len(words(TRAIN)) == 20

    def near(share: float) -> tuple[int, ...]:
        return overlap(train, test, OverlapSettings(n=3, share=share)).near

    assert near(17 / 18) == (0,)
    assert near(15 / 18) == (0, 1)
    assert near(1.0) == ()
    pair = overlap(train, test, OverlapSettings(n=3)).examples[0]
    assert (pair.test, pair.train, pair.share) == (0, 1, 17 / 18)


def test_masked_numbers() -> None:
    test = problems(TRAIN.replace("12", "7").replace("3", "2.5"))
    assert overlap(problems(TRAIN), test, OverlapSettings(n=5, share=0.9)).near == ()
    masked = overlap(problems(TRAIN), test, OverlapSettings(n=5, share=0.9, mask_numbers=True))
    assert masked.near == (0,)
    assert masked.exact == ()


def test_grams_must_stand_in_one_question() -> None:
    """Halves of two training questions are no near duplicate."""
    half, rest = TRAIN.split(" in a box")
    train = problems(half + " on one table", "What is in a box" + rest)
    assert overlap(train, problems(TRAIN), OverlapSettings(n=3, share=0.7)).near == ()
    assert overlap(train, problems(TRAIN), OverlapSettings(n=3, share=0.3)).near == (0,)


def test_the_nearest_of_several_is_named() -> None:
    """The first training question has some of the test question's n-grams, the second nearly all."""
    train = problems(TRAIN.split(" in a box")[0], TRAIN.replace("Mia has", "Zoe has"), TRAIN + " Say so.")
    (pair,) = overlap(train, problems(TRAIN), OverlapSettings(n=3)).examples
    assert (pair.train, pair.share) == (2, 1.0)
    (pair,) = overlap(train[:2], problems(TRAIN), OverlapSettings(n=3)).examples
    assert (pair.train, pair.share) == (1, 17 / 18)


def test_counts_and_examples() -> None:
    test = problems(TRAIN, TRAIN, "Is it?", TRAIN + " Say so.")
    found = overlap(problems(TRAIN, OTHER), test, OverlapSettings(examples=2))
    assert (found.num_train, found.num_test, found.exact, found.near) == (2, 4, (0, 1), (3,))
    assert [pair.test for pair in found.examples] == [0, 1]
    assert overlap([], test).near == overlap(test, []).near == ()


def test_gsm8k_s_splits(gsm8k_folder: str) -> None:
    """In seconds, and with what the real splits have in common: no question, a few stories with other numbers."""
    train, test = Gsm8k(Gsm8kSettings(path=gsm8k_folder)).load()
    start = time.process_time()
    found, masked = overlap(train, test), overlap(train, test, OverlapSettings(mask_numbers=True))
    assert time.process_time() - start < 20
    assert found.exact == ()
    assert len(found.near) == 1
    assert len(masked.near) == 3
    assert set(found.near) <= set(masked.near)
