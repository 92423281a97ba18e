"""The right answers of GSM8K's test problems in many forms, and wrong ones near them: who accepts what.

docs/llm.md has the table. `python -m tests.text.grading.test_gsm8k_forms FOLDER` prints it.
"""

import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from chainlift.text.grading import numbers
from chainlift.text.grading.exact_grader import ExactGrader
from chainlift.text.grading.grade import Grader
from chainlift.text.grading.math_grader import MathGrader
from chainlift.text.problem import Problem
from chainlift.text.sources.gsm8k import Gsm8k, Gsm8kSettings
from tests.text.grading.conventions import last_number, strict_match

DOCUMENT = Path(__file__).parents[3] / "docs" / "llm.md"
AGAIN = "\n\nQuestion: What is 5 plus 6?\nAnswer: 5 + 6 = 11\n#### 11"
RIGHT: dict[str, Callable[[Problem, int], str]] = {
    "the gold solution and `#### 72`": lambda problem, n: f"{problem.solution}\n#### {problem.answer}",
    "`#### $72`": lambda problem, n: f"#### ${n}",
    "`#### 72 clips`": lambda problem, n: f"#### {n} clips",
    "`#### 72%`": lambda problem, n: f"#### {n}%",
    "`#### 1,072`, commas from 1,000 on": lambda problem, n: f"#### {n:,}",
    "`#### 72.00`": lambda problem, n: f"#### {n}.00",
    "`####72`": lambda problem, n: f"####{n}",
    "`#### **72**`": lambda problem, n: f"#### **{n}**",
    r"`#### \(72\)`": lambda problem, n: rf"#### \({n}\)",
    r"`#### \frac{144}{2}`": lambda problem, n: rf"#### \frac{{{2 * n}}}{{2}}",
    r"`so $\boxed{72}$.`": lambda problem, n: rf"so $\boxed{{{n}}}$.",
    "`The answer is 72.`": lambda problem, n: f"The answer is {n}.",
    "`#### 72`, then another question": lambda problem, n: f"#### {n}{AGAIN}",
}
WRONG: dict[str, Callable[[Problem, int], str]] = {
    "the gold solution and `#### 73`": lambda problem, n: f"{problem.solution}\n#### {n + 1}",
    "`#### -72`": lambda problem, n: f"#### {-n}",
    "`#### 72.5`": lambda problem, n: f"#### {n}.5",
    "`#### 72 thousand`": lambda problem, n: f"#### {n} thousand",
    "`#### 72 or 73`": lambda problem, n: f"#### {n} or {n + 1}",
    "`#### 72/73`": lambda problem, n: f"#### {n}/{n + 1}",
    "`#### 73`, then `#### 72`": lambda problem, n: f"#### {n + 1}\n#### {n}",
    "`#### 73`, then a question with the answer 72": lambda problem, n: f"#### {n + 1}{AGAIN.replace('11', str(n))}",
}


def graded(grader: Grader, texts: Sequence[str], answers: Sequence[str]) -> list[bool]:
    return [grade.is_right for grade in grader.grade_all(texts, answers)]


def table(folder: str) -> list[str]:
    """Lines of the table: the share of the test problems whose answer in each form is accepted by each."""
    _, test = Gsm8k(Gsm8kSettings(path=folder)).load()
    problems = [(problem, int(value)) for problem in test if (value := whole(problem.answer)) is not None]
    assert len(problems) == len(test) == 1319
    answers = [problem.answer for problem, _ in problems]
    math = MathGrader("####", seconds=20)
    lines = []
    for right, forms in ((True, RIGHT), (False, WRONG)):
        for name, form in forms.items():
            texts = [form(problem, n) for problem, n in problems]
            pairs = list(zip(texts, answers, strict=True))
            accepted = [
                [strict_match(*pair) for pair in pairs],
                [last_number(*pair) for pair in pairs],
                graded(ExactGrader("####"), texts, answers),
                graded(math, texts, answers),
            ]
            shares = " | ".join(f"{sum(verdicts):,}" for verdicts in accepted)
            lines.append(f"| {name} | {'right' if right else 'wrong'} | {shares} |")
    math.close()
    return lines


def whole(answer: str) -> Fraction | None:
    """The value of an answer that is a whole number."""
    value = numbers.read(answer)
    return value if value is not None and value.denominator == 1 else None


@pytest.mark.slow
def test_the_document_has_the_table(gsm8k_folder: str) -> None:
    written = DOCUMENT.read_text(encoding="utf-8").splitlines()
    assert [line for line in table(gsm8k_folder) if line not in written] == []


if __name__ == "__main__":
    print("\n".join(table(sys.argv[1])))
