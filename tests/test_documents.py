"""Documents: their words (tests/language.py), and the places that their links name."""

import re
from pathlib import Path

import pytest

from tests import language

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *(ROOT / "docs").glob("*.md")]
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
        found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(CODE.sub("", document.read_text(encoding="utf-8"))):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{document.name} links {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{document.name} links {link}"


def test_documents_and_docstrings_use_no_given_up_word() -> None:
    assert [str(use) for use in language.check()] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The run is told\nso.", [(0, "told", "reported, said, known")]),
        ("First line.\nThere is no\nway to it.", [(1, "no way to", "cannot, does not help")]),
        ("Its behaviour and colours\nwere optimised.", ["behavior", "colors", "optimized"]),
        ("Neighbouring, unrecognised, grey: a catalogue.", ["neighboring", "unrecognized", "gray", "catalog"]),
        ("`told`, ```\ncolour\n```, [a](stage 1), https://a.org/colour", []),
        ("A retold, told-you and untold story: noise, promise, otherwise, revised, wise, four hours.", []),
        ("It is no text, but there is no text; it is no longer so.", [(0, "is no text", "is not, has no")]),
    ],
)
def test_uses(text: str, expected: list[tuple[int, str, str] | str]) -> None:
    found = list(language.uses(text))
    assert [use if isinstance(one, tuple) else use[2] for use, one in zip(found, expected, strict=True)] == expected


def test_docstrings_are_those_of_modules_classes_functions_and_attributes() -> None:
    source = '"""a"""\nx = 1\n"""b"""\nclass C:\n    """c"""\n    def f(self):\n        """d"""\n        return "e"\n'
    assert sorted(language.docstrings(source)) == [(1, "a"), (3, "b"), (5, "c"), (7, "d")]


def test_names_that_say_nothing_are_found_where_they_are_given() -> None:
    source = "def f(told, x):\n    one = x\n    for _own in told:\n        x.found = one\n"
    source += "class Given: pass\ndef given(): pass\n"
    assert list(language.names(source)) == [(6, "given"), (1, "told"), (2, "one"), (3, "_own")]
