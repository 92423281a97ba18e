"""The page in a real browser, at the width of a desk and of a telephone: drawn whole, nothing too wide, no error."""

from pathlib import Path

import pytest

from tests.browser import Page

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LAST = "[...document.querySelector('.response .tokens').children].reduce((a, b) => right(b) > right(a) ? b : a)"
TOLD = "getComputedStyle(window.last, '::after').content"


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_draws_the_page(tab: Page, finished: Path, width: int) -> None:
    tab.resize(width)
    tab.visit(finished / "report.html")
    tab.wait("document.querySelectorAll('svg.main-svg').length >= 4")
    assert tab.ask(OVERFLOW) <= 0
    assert tab.ask("document.querySelectorAll('.scatterlayer .trace').length") > 10
    assert tab.ask("document.querySelectorAll('#summary tbody tr').length") == 5
    assert tab.ask("document.querySelectorAll('.tokens [data-probability]').length") > 20
    # A full row of tokens, whose last one is the hardest place for a probability.
    tab.ask("(row => { for (let i = 0; i < 60; i++) row.append(row.firstElementChild.cloneNode(true)) })"
            "(document.querySelector('.response .tokens'))")  # fmt: skip
    tab.ask(f"(right => {{ window.last = {LAST} }})(token => token.getBoundingClientRect().right)")
    assert tab.ask(TOLD) == "none"
    tab.ask("window.last.focus()")
    assert "probability" in tab.ask(TOLD)
    assert tab.ask(OVERFLOW) <= 0
