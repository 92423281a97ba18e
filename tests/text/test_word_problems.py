import re
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chainlift.text.problem import Problem
from chainlift.text.sources import word_problems, word_stories
from chainlift.text.sources.word_languages import FIRST, LANGUAGES, SECOND
from chainlift.text.sources.word_problems import MAX_STEPS, Split, Stories, WordProblems, WordProblemSettings

STEP = re.compile(r"(\w+) (?:has|they have|gets) (\d+) ([-+*/]) (\d+) = (\d+) ([a-z]+)\.")
OPERATIONS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}


@st.composite
def any_settings(draw: st.DrawFn) -> WordProblemSettings:
    least = draw(st.integers(1, MAX_STEPS))
    return WordProblemSettings(
        seed=draw(st.integers(0, 5)),
        min_steps=least,
        max_steps=draw(st.integers(least, MAX_STEPS)),
        max_number=draw(st.sampled_from([10, 11, 20, 50, 137, 1000, 100_000])),
        stories=draw(st.sampled_from(["first", "second", "both"])),
    )


splits: st.SearchStrategy[Split] = st.sampled_from(["train", "test"])


@settings(max_examples=300, deadline=None)
@given(chosen=any_settings(), split=splits, index=st.integers(0, 10**6))
def test_every_line_s_arithmetic_is_right(chosen: WordProblemSettings, split: Split, index: int) -> None:
    """Each line goes on from a count that is known by then, and the last one gives the answer."""
    problem = word_problems.problem(chosen, split, index)
    lines = problem.solution.split("\n")
    assert problem.steps == len(lines)
    assert chosen.min_steps <= len(lines) <= chosen.max_steps
    known: list[int] = []
    for line in lines:
        found = STEP.fullmatch(line)
        assert found, line
        left, right, result = int(found[2]), int(found[4]), int(found[5])
        if found[3] == "/":
            assert left % right == 0
        assert OPERATIONS[found[3]](left, right) == result
        assert 0 <= result <= chosen.max_number
        assert (result == 1) != found[6].endswith("s")
        if known and found[1] == "Together":
            assert right == known[-1]
        elif known:
            assert left == known[-1]
        known.append(result)
    assert problem.answer == str(known[-1])
    assert max(map(int, re.findall(r"\d+", problem.question))) <= chosen.max_number


@settings(max_examples=200, deadline=None)
@given(chosen=any_settings(), split=splits, index=st.integers(0, 10**6))
def test_the_question_alone_gives_the_answer(chosen: WordProblemSettings, split: Split, index: int) -> None:
    problem = word_problems.problem(chosen, split, index)
    assert solved(problem.question) == int(problem.answer)


def solved(question: str) -> int:
    """A second solver, which reads each sentence into the counts of all persons."""
    counts: dict[str, int] = {}
    *sentences, asked = re.split(r"(?<=[.?]) ", question)
    if not asked.startswith("How many"):
        asked, *sentences = re.split(r"(?<=[.?]) ", question)
    patterns: dict[str, Any] = {
        r"(\w+) has (\d+) boxes with (\d+) \w+ in each box": lambda who, a, n: counts.update({who: int(a) * int(n)}),
        r"(\w+) has (\d+) \w+": lambda who, n: counts.update({who: int(n)}),
        r"(\w+) (?:finds|buys) (\d+) more \w+": lambda who, n: counts.update({who: counts[who] + int(n)}),
        r"(\w+) (?:gives away|loses) (\d+) \w+": lambda who, n: counts.update({who: counts[who] - int(n)}),
        r"A week later (\w+) has (twice|\d+) (?:times )?as many \w+ as before": (
            lambda who, n: counts.update({who: counts[who] * factor(n)})
        ),
        r"(\w+) puts the \w+ into (\d+) equal bags and keeps only one bag": (
            lambda who, n: counts.update({who: counts[who] // int(n)})
        ),
        r"(\w+) shares the \w+ equally in a group of (\d+) people and takes one share": (
            lambda who, n: counts.update({who: counts[who] // int(n)})
        ),
        r"Now (\w+) has (\d+) \w+ more than (\w+)": lambda new, n, old: counts.update({new: counts[old] + int(n)}),
        r"Now (\w+) has (\d+) \w+ fewer than (\w+)": lambda new, n, old: counts.update({new: counts[old] - int(n)}),
        r"Now (\w+) has (twice|\d+) (?:times )?as many \w+ as (\w+)": (
            lambda new, n, old: counts.update({new: counts[old] * factor(n)})
        ),
        r"(\w+) has no coins and sells every \w+ for (\d+) coins": (
            lambda who, n: counts.update({who: counts[who] * int(n)})
        ),
        r"At first (\d+) shelves that carry (\d+) \w+ each belong to (\w+)": (
            lambda a, n, who: counts.update({who: int(a) * int(n)})
        ),
        r"At first (\d+) \w+ belong to (\w+)": lambda n, who: counts.update({who: int(n)}),
        r"As a present (\d+) further \w+ reach (\w+)": lambda n, who: counts.update({who: counts[who] + int(n)}),
        r"Another (\d+) \w+ arrive, and all of them go to (\w+)": (
            lambda n, who: counts.update({who: counts[who] + int(n)})
        ),
        r"Of the \w+ that belong to (\w+), (\d+) are used up": lambda who, n: counts.update(
            {who: counts[who] - int(n)}
        ),
        r"Through a hole in the floor (\d+) \w+ of (\w+) disappear": (
            lambda n, who: counts.update({who: counts[who] - int(n)})
        ),
        r"By the next month the number of \w+ of (\w+) grows to (double|\d+) (?:times )?the old number": (
            lambda who, n: counts.update({who: counts[who] * factor(n)})
        ),
        r"From the \w+ of (\w+) come (\d+) piles of the same size, and all but one pile are sent to a museum": (
            lambda who, n: counts.update({who: counts[who] // int(n)})
        ),
        r"Split evenly over (\d+) drawers, the \w+ of (\w+) are all removed except for a single drawer": (
            lambda n, who: counts.update({who: counts[who] // int(n)})
        ),
        r"Compared with (\w+), (\w+) owns (\d+) extra \w+": lambda old, new, n: counts.update(
            {new: counts[old] + int(n)}
        ),
        r"Compared with (\w+), (\w+) lacks (\d+) \w+": lambda old, new, n: counts.update({new: counts[old] - int(n)}),
        r"Compared with (\w+), (\w+) owns (double|\d+) (?:times )?the number of \w+": (
            lambda old, new, n: counts.update({new: counts[old] * factor(n)})
        ),
        r"All \w+ of (\w+), who owns no token yet, are sold at (\d+) tokens a \w+": (
            lambda who, n: counts.update({who: counts[who] * int(n)})
        ),
    }
    for sentence in sentences:
        bare = sentence.removesuffix(".")
        (fitting,) = [(found, do) for form, do in patterns.items() if (found := re.fullmatch(form, bare))]
        fitting[1](*fitting[0].groups())
    both = re.fullmatch(
        r"(?:How many|What number of) \w+ do (\w+) and (\w+) (?:have together|own if .* jointly)\?", asked
    )
    if both:
        return counts[both[1]] + counts[both[2]]
    one = re.fullmatch(
        r"(?:How many \w+ does|Work out the final number of \w+ that|What number of \w+ belongs to) (\w+)"
        r" (?:have now\?|have in the end\?|owns\.|at last\?)",
        asked,
    )
    assert one, asked
    return counts[one[1]]


def factor(word: str) -> int:
    return 2 if word in ("twice", "double") else int(word)


def test_a_problem_does_not_depend_on_how_many_there_are() -> None:
    few, _ = WordProblems(WordProblemSettings(train_size=10, test_size=1)).load()
    many, test = WordProblems(WordProblemSettings(train_size=50, test_size=5)).load()
    assert list(many[:10]) == list(few)
    assert (len(many), len(test)) == (50, 5)
    limited, _ = WordProblems(WordProblemSettings(train_size=50, train_limit=7, test_size=1)).load()
    assert list(limited) == list(many[:7])
    assert word_problems.problem(WordProblemSettings(seed=1), "train", 0) != many[0]


def test_the_bytes_of_a_problem_stay() -> None:
    """A change of the generator changes the data of everybody's runs: it must be meant."""
    assert word_problems.problem(WordProblemSettings(), "train", 0) == Problem(
        question=QUESTION, solution=SOLUTION, answer=ANSWER, steps=len(SOLUTION.split("\n"))
    )


QUESTION = (
    "Emma has 3 marbles. Emma loses 2 marbles. Now Lena has 21 marbles more than Emma. Lena has no coins and sells "
    "every marble for 2 coins. Now Clara has 5 coins fewer than Lena. How many coins does Clara have now?"
)
SOLUTION = """Emma has 3 - 2 = 1 marble.
Lena has 1 + 21 = 22 marbles.
Lena gets 22 * 2 = 44 coins.
Clara has 44 - 5 = 39 coins."""
ANSWER = "39"


@pytest.mark.parametrize("by", ["question", "numbers"])
def test_splits_are_disjoint_whatever_the_seed(by: Any) -> None:
    """With few steps and numbers up to 20, so that questions repeat within a split."""
    few: dict[str, Any] = {"min_steps": 1, "max_steps": 2, "max_number": 20, "held_out_by": by}
    train = [word_problems.problem(WordProblemSettings(seed=0, **few), "train", i) for i in range(4000)]
    test = [word_problems.problem(WordProblemSettings(seed=1, **few), "test", i) for i in range(1000)]
    assert not {p.question for p in train} & {p.question for p in test}
    skeletons = [{numbers(p) for p in split} for split in (train, test)]
    assert bool(skeletons[0] & skeletons[1]) == (by == "question")


def numbers(problem: Problem) -> tuple[str, ...]:
    """The arithmetic of a solution without its words."""
    return tuple(" ".join(re.findall(r"[-+*/=]|\d+", line)) for line in problem.solution.split("\n"))


def test_the_held_out_share_is_kept() -> None:
    """Of 4,000 stories 20% are held out; the bound is at 5 standard errors, so false alarm < 1e-6."""
    from random import Random

    chosen = WordProblemSettings()
    held = sum(word_problems.is_held_out(word_stories.tell(Random(i), 3, 50, FIRST), chosen) for i in range(4000))
    assert abs(held - 800) < 5 * (4000 * 0.2 * 0.8) ** 0.5


def test_a_split_without_problems_is_said() -> None:
    tiny = WordProblemSettings(min_steps=1, max_steps=1, max_number=10, held_out=1e-9, held_out_by="numbers")
    with pytest.raises(ValueError, match=r"task\.held_out: no test problem of 1 steps in"):
        word_problems.problem(tiny, "test", 0)


@pytest.mark.parametrize(
    "wrong",
    [{"min_steps": 3, "max_steps": 2}, {"max_steps": 12}, {"max_number": 9}, {"stories": "third"}, {"held_out": 1}],
)
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WordProblemSettings(**wrong)


def test_constant_guesses_are_poor() -> None:
    """The best constant answer to 2,000 problems of one or two steps is right on fewer than 0.2 of them.

    Measured at the default bounds: 0.042.
    """
    chosen = WordProblemSettings(min_steps=1, max_steps=2)
    counts = Counter(word_problems.problem(chosen, "train", i).answer for i in range(2000))
    ((_, most),) = counts.most_common(1)
    assert most / 2000 < 0.2
    assert most / 2000 < 0.06
    assert len(counts) >= 50


def test_steps_are_uniform() -> None:
    """Each of six numbers of steps 500 times of 3,000; a bound of 5 standard errors each, so false alarm < 4e-6."""
    chosen = WordProblemSettings(min_steps=1, max_steps=6)
    counts = Counter(word_problems.problem(chosen, "train", i).steps for i in range(3000))
    assert all(abs(counts[steps] - 500) < 5 * (3000 / 6 * 5 / 6) ** 0.5 for steps in range(1, 7))


def test_speed() -> None:
    """Thousands of problems a second of processor time, of the slower split too; the bounds are far below the rates."""
    for split, at_least in (("train", 5000), ("test", 1500)):
        start = time.process_time()
        for i in range(2000):
            word_problems.problem(WordProblemSettings(), split, i)  # type: ignore[arg-type]
        assert 2000 / (time.process_time() - start) > at_least


def language_of(problem: Problem) -> str:
    """The language whose people occur in the question."""
    words = set(re.findall(r"\w+", problem.question))
    (name,) = [name for name, language in LANGUAGES.items() if words & set(language.people)]
    return name


def test_the_languages_have_no_names_and_nouns_in_common() -> None:
    assert not set(FIRST.people) & set(SECOND.people)
    assert not {FIRST.coin, *FIRST.things} & {SECOND.coin, *SECOND.things}
    assert [event.sign for event in FIRST.events] == [event.sign for event in SECOND.events]
    assert [event.line for event in FIRST.events] == [event.line for event in SECOND.events]
    for language in LANGUAGES.values():
        assert len(set(language.people)) > MAX_STEPS  # a story may need another person for each step


@pytest.mark.parametrize(
    ("stories", "test_stories", "train", "test"),
    [
        ("first", None, {"first"}, {"first"}),
        ("second", None, {"second"}, {"second"}),
        ("first", "second", {"first"}, {"second"}),
        ("second", "both", {"second"}, {"first", "second"}),
    ],
)
def test_test_problems_may_be_in_the_other_language(
    stories: Stories, test_stories: Stories | None, train: set[str], test: set[str]
) -> None:
    chosen = WordProblemSettings(stories=stories, test_stories=test_stories, train_size=40, test_size=40)
    splits = WordProblems(chosen).load()
    assert tuple({language_of(problem) for problem in problems} for problems in splits) == (train, test)


def test_another_language_for_tests_leaves_training_problems_as_they_are() -> None:
    chosen, other = WordProblemSettings(), WordProblemSettings(test_stories="second")
    assert [word_problems.problem(chosen, "train", i) for i in range(20)] == [
        word_problems.problem(other, "train", i) for i in range(20)
    ]


def test_both_languages_are_equally_frequent() -> None:
    """Of 2,000 stories half are of the first language; the bound is 5 standard errors, so false alarm < 1e-6."""
    chosen = WordProblemSettings(stories="both")
    first = sum(language_of(word_problems.problem(chosen, "train", i)) == "first" for i in range(2000))
    assert abs(first - 1000) < 5 * (2000 / 4) ** 0.5
