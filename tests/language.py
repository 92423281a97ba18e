"""Words that documents and docstrings of this project do not use: `python -m tests.language` prints each use of one.

It reads README, CONTRIBUTING, CHANGELOG, docs/*.md (without results.md and log.md, which record the past) and every
docstring below src. Code is left out: fenced blocks, text between backticks, targets of links. A phrase may go over
the end of a line.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
RECORDS = {"results.md", "log.md"}

PHRASES = {
    r"told": "reported, said, known",
    r"no way to": "cannot, does not help",
    r"for (?:want|lack) of": "because there was no ...",
    r"asked for is": "the answer is",
    r"else left alone": "nothing: delete it",
    r"in turn": "interleaved, one after the other, respectively",
    r"stages? [12]": "next-token prediction, RL, or the stage's name",
    r"the like": "and so on, similar",
    r"of one's own": "your own",
    r"whoever": "anyone who, code that",
    r"strangers?(?:'s)?": "someone else, untrusted",
    r"begun again": "restarted",
    r"(?:in|out)side of": "inside, outside",
    r"on the way": "during a stage, intermediate",
    r"what (?:came|comes) out": "results",
    r"at hand": "available",
    r"(?:is|are) no part of": "does not enter, is not part of",
    r"mend(?:s|ed|ing)?": "fix, correct",
    r"as ever": "as before",
    r"were (?:every|each)": "if every ... were",
    r"to the letter": "word for word",
    r"asked for": "requested, or name the question",
    r"hears? of": "receives, is notified of",
    r"stands? behind": "follows",
    r"looked at": "read, inspected",
    r"(?:any|some)body(?:'s)?": "anyone, someone",
    r"for people": "readable",
    r"gone on with": "continued",
    r"(?<!there\s)(?:is|are) no (?!(?:part|longer|more|other|such|better|worse|prediction)\b)[a-z]+": "is not, has no",
}
"""{what is not used: what to write instead}, as regular expressions; a blank stands for any white space."""

IZE = "optim|normal|initial|general|minim|maxim|serial|summar|synchron|penal|organ|memor|vector|quant|util|recogn"
IZE += "|regular|parallel|standard|random|discret|final|custom|stabil|visual|character|formal|real|token|equal"
SPELLINGS = {
    rf"((?:re|un|de)?(?:{IZE}))is(e[drs]?|ers|ing|ations?)": r"\1iz\2",
    r"(analy)s(e[ds]?|ing)": r"\1z\2",
    r"(col|fav|behavi|neighb|hon|lab|flav|harb|endeav)our(\w*)": r"\1or\2",
    r"(cent|theat|calib)re(s?)": r"\1er\2",
    r"(cancel|model|label|travel|signal|level)l(ed|ing)": r"\1\2",
    r"grey(s?)": r"gray\1",
    r"artefact(s?)": r"artifact\1",
    r"judgement(s?)": r"judgment\1",
    r"(licen|defen|offen)ce(s?)": r"\1se\2",
    r"catalogue(s?)": r"catalog\1",
    r"(whil|among)st": r"\1",
    r"learnt": "learned",
    r"programme(s?)": r"program\1",
    r"(distil|fulfil)(s?)": r"\1l\2",
}
"""{British spelling: American spelling}, as regular expressions of whole words."""

EMPTY_NAMES = {"told", "found", "one", "drawn", "own", "given"}
"""Names of variables, parameters and functions that say nothing."""

CODE = re.compile(r"```.*?```|``.*?``|`[^`]*`|\]\([^)]*\)|https?://\S+", re.DOTALL)


class Use(NamedTuple):
    """A word that is not used, where it stands."""

    file: Path
    line: int
    words: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.words!r}; write: {self.instead}"


def _whole(phrase: str) -> re.Pattern[str]:
    """A pattern that ends with a word; `uses` checks its beginning, so that Python can search for its first letters."""
    return re.compile(rf"(?:{phrase})(?![\w-])".replace(" ", r"\s+"))


WORDS = [(_whole(phrase), instead) for phrase, instead in PHRASES.items()]
BRITISH = [(re.compile(word), american) for word, american in SPELLINGS.items()]


@functools.cache
def american(word: str) -> str | None:
    """The American spelling of a word in small letters; None if it is spelled so already."""
    matches = ((pattern.fullmatch(word), spelling) for pattern, spelling in BRITISH)
    return next((match.expand(spelling) for match, spelling in matches if match), None)


def uses(text: str) -> Iterator[tuple[int, str, str]]:
    """(line from 0, the words, what to write instead) of a text, in the order of the rules."""
    prose = CODE.sub(lambda code: re.sub(r"[^\n]", "_", code[0]), text).lower()
    for pattern, instead in WORDS:
        for match in pattern.finditer(prose):
            before = prose[match.start() - 1 : match.start()]
            if not (before.isalnum() or before in ("-", "_")):
                yield prose.count("\n", 0, match.start()), " ".join(match[0].split()), instead
    for match in re.finditer(r"[a-z]+", prose):
        spelling = american(match[0])
        if spelling is not None:
            yield prose.count("\n", 0, match.start()), match[0], spelling


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of the docstrings of a module: its own, and those of classes, functions and attributes."""
    bodies = [ast.parse(source).body]
    for body in bodies:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                bodies.append(node.body)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                yield node.lineno, str(node.value.value)


def names(source: str) -> Iterator[tuple[int, str]]:
    """(line, name) of every variable, parameter and function of a module that says nothing of what it is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = node.name
        else:
            continue
        if name.strip("_") in EMPTY_NAMES:
            yield node.lineno, name


def check() -> list[Use]:
    """Every use: names, then documents, then docstrings."""
    documents = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    documents += [file for file in sorted((ROOT / "docs").glob("*.md")) if file.name not in RECORDS]
    texts = [(file, 1, file.read_text(encoding="utf-8")) for file in documents]
    empty: list[Use] = []
    for file in sorted((ROOT / "src").rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        texts += [(file, line, text) for line, text in docstrings(source)]
        empty += [Use(file, line, name, "what it is: a noun") for line, name in names(source)]
    return empty + [Use(file, first + line, *rest) for file, first, text in texts for line, *rest in uses(text)]


def main() -> int:
    """Print every use; 1 if there is one."""
    all_uses = check()
    for use in all_uses:
        print(use)
    return int(bool(all_uses))


if __name__ == "__main__":
    sys.exit(main())
