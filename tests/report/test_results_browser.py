"""The page of a folder in a real browser, with real keys: runs found, sorted, opened and left, figures as chosen."""

import time
from pathlib import Path

import pytest

from chainlift.measure.statistics import mean_interval
from chainlift.report.pages import results_page
from tests.browser import Page
from tests.report.conftest import ODD, TITLE, fill

pytestmark = [pytest.mark.slow, pytest.mark.browser]
RUNS = 200
ROWS = "[...document.querySelectorAll('#runs tbody tr')].filter(row => !row.hidden)"
FOCUSED = "document.activeElement"
CHART = "document.querySelector('.picture .chart')"
STATUS = "document.getElementById('shown').textContent"


@pytest.fixture(scope="session")
def index(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 200 runs."""
    return results_page.write(fill(tmp_path_factory.mktemp("many") / "runs", finished, RUNS))


def column(tab: Page, key: str) -> list[str]:
    """The texts of a column's visible cells, in order."""
    place = f"[...document.querySelectorAll('#runs th[data-key]')].findIndex(head => head.dataset.key === '{key}')"
    return tab.ask(f"(i => {ROWS}.map(row => row.cells[i].textContent.trim()))({place})")


def enter(tab: Page, field: str, text: str) -> None:
    """Put text into a field, as a person would."""
    tab.ask(f"document.getElementById('{field}').select()")
    tab.type(text)


def choose(tab: Page, field: str, value: str) -> None:
    """Choose an option."""
    box = f"document.getElementById('{field}')"
    tab.ask(f"{box}.value = '{value}', {box}.dispatchEvent(new Event('input'))")


def visit_claim(tab: Page, index: Path, name: str) -> None:
    """Open a claim, until its figure is drawn."""
    tab.visit(index, f"#claim={name}")
    tab.wait("document.querySelectorAll('.picture .main-svg').length > 0")


def toggle(tab: Page, name: str) -> None:
    """Click on a name of the figure's legend, as a person would, and wait until it is hidden or shown."""
    entry = f"[...document.querySelectorAll('.picture .legend .traces')].find(one => one.textContent === '{name}')"
    before = tab.ask(f"{entry}.style.opacity")
    tab.ask(f"['mousedown', 'mouseup'].forEach(kind => {entry}.querySelector('.legendtoggle')"
            ".dispatchEvent(new MouseEvent(kind, {bubbles: true})))")  # fmt: skip
    tab.wait(f"{entry}.style.opacity !== '{before}'")


def opened(tab: Page, name: str) -> None:
    """Wait until what the address names is shown, and drawn."""
    tab.wait(f"decodeURIComponent(location.hash) === {name!r} && !document.getElementById('detail').hidden")


def test_200_runs_are_there_in_two_seconds(tab: Page, index: Path) -> None:
    assert index.stat().st_size < 12e6
    tab.visit(index)
    assert tab.ask("performance.getEntriesByName('ready')[0].startTime") < 2000
    assert tab.ask(f"{ROWS}.length") == RUNS
    began = tab.ask("location.hash = 'run=small-00000002-s2', performance.now()")
    tab.wait("document.querySelectorAll('#detail .chart .trace').length >= 10")
    assert tab.ask("performance.now()") - began < 4000, "the first figure, which starts plotly"


def test_runs_are_found_and_sorted(tab: Page, index: Path) -> None:
    tab.visit(index)
    assert tab.ask(STATUS) == "200 of 200 runs shown"
    enter(tab, "words", "OTHER p_cot=0.05")
    assert tab.ask(STATUS) == "5 of 200 runs shown"
    assert set(column(tab, "recipe")) == {"other"}
    assert set(column(tab, "p_cot")) == {"0.05"}
    enter(tab, "words", "no-such-run")
    assert tab.ask(STATUS) == "0 of 200 runs shown: nothing matches"
    enter(tab, "words", " ")
    choose(tab, "status", "failed")
    assert column(tab, "run") == ["small-failed00-s0"]
    assert "training diverged" in column(tab, "status")[0]
    choose(tab, "status", "")
    choose(tab, "recipe", "other")
    assert tab.ask(STATUS) == "49 of 200 runs shown"
    choose(tab, "recipe", "")

    head = "document.querySelector('#runs th[data-key=p_cot]')"
    tab.ask(f"{head}.querySelector('button').click()")
    assert tab.ask(f"{head}.getAttribute('aria-sort')") == "ascending"
    cells = column(tab, "p_cot")
    numbers = [float(cell) for cell in cells if cell]
    assert numbers == sorted(numbers)
    assert cells.index("") == len(numbers)  # the damaged run, last in either order
    tab.ask(f"{head}.querySelector('button').click()")
    assert tab.ask(f"{head}.getAttribute('aria-sort')") == "descending"
    assert column(tab, "p_cot")[: len(numbers)] == [
        cell for cell in sorted(cells, key=float_or_none, reverse=True) if cell
    ]


def float_or_none(cell: str) -> float:
    return float(cell or "inf")


def test_shared_stages_are_shown_on_demand(tab: Page, index: Path) -> None:
    tab.visit(index)
    assert not [name for name in column(tab, "run") if name.startswith("shared-pretrain-")]
    tab.ask("document.getElementById('shared').click()")
    assert tab.ask(STATUS) == "201 of 201 runs shown"
    assert [name for name in column(tab, "run") if name.startswith("shared-pretrain-")]


def test_a_run_opens_and_the_back_button_leaves_it(tab: Page, index: Path) -> None:
    tab.visit(index)
    tab.ask("document.querySelector('#runs a[href=\"#run=small-00000002-s2\"]').click()")
    opened(tab, "#run=small-00000002-s2")
    assert tab.ask("document.getElementById('overview').hidden")
    assert tab.ask("document.title").startswith("run small-00000002-s2")
    assert tab.ask(f"{FOCUSED}.tagName") == "H1"
    assert tab.ask("document.querySelectorAll('#detail #summary tbody tr').length") == 5
    assert tab.ask("document.querySelectorAll('#detail .tokens span').length") > 4
    assert "p_cot: 0.03" in tab.ask("document.querySelector('#detail pre').textContent")
    tab.ask("[...document.querySelectorAll('.toolbar a')].find(one => one.textContent === 'next run').click()")
    opened(tab, "#run=small-00000003-s3")
    tab.ask("history.go(-2)")
    tab.wait("document.getElementById('detail').hidden && location.hash === ''")
    assert not tab.ask("document.getElementById('overview').hidden")
    assert tab.ask("scrollY") == 0 or tab.ask(f"{FOCUSED}.tagName") == "A"


def test_an_address_opens_what_it_names(tab: Page, index: Path) -> None:
    tab.visit(index, "#run=small-damaged0-s0")
    assert "line 1, is damaged" in tab.ask("document.getElementById('detail').textContent")
    tab.ask(f"location.hash = 'run=' + encodeURIComponent({ODD!r})")
    tab.wait(f"document.querySelector('#detail h1')?.textContent === {TITLE!r}")
    assert tab.ask("document.title").startswith("run odd")
    tab.ask("location.hash = 'run=small-halfway0-s0'")
    tab.wait("document.getElementById('detail').textContent.includes('This run is not finished')")
    tab.ask("location.hash = 'run=nothing'")
    tab.wait("!document.getElementById('missing').hidden")
    assert tab.ask("document.getElementById('missing').textContent") == "There is no run nothing on this page."


def test_the_legend_decides_what_is_drawn(tab: Page, index: Path) -> None:
    visit_claim(tab, index, "holds-here")
    star = f"{CHART}.data.find(trace => trace.name === 'star')"
    values = [0.2, 0.22, 0.24, 0.3]  # of seeds 0, 1, 2 and 5 at p_cot .2
    low, high = mean_interval(values)
    assert tab.ask(f"{star}.y[1]") == pytest.approx(0.24)
    assert tab.ask(f"{star}.error_y.array[1]") == pytest.approx(high - 0.24, rel=1e-3)
    assert tab.ask(f"{star}.error_y.arrayminus[1]") == pytest.approx(0.24 - low, rel=1e-3)
    assert "n = 4 of 4 seeds" in tab.ask(f"{star}.hovertext[1]")
    assert tab.ask(f"{star}.x") == pytest.approx([0.097, 0.197, 0.397])  # beside the other line's, which are equal
    assert tab.ask("document.querySelector('.picture .note').textContent").startswith("Means over 4 seeds")

    hidden = f"{CHART}.data.filter(trace => trace.visible === 'legendonly').map(trace => trace.name)"
    assert tab.ask(f"[...new Set({hidden})]") == ["each seed"]
    toggle(tab, "each seed")  # their own values beside the means, which stay
    assert tab.ask(hidden) == []
    assert tab.ask(f"{CHART}.data[{CHART}.data.indexOf({star}) - 1].y.slice(12, 15)") == pytest.approx([0.2, 0.3, 0.5])
    toggle(tab, "each seed")
    shown = f"{CHART}.data.filter(trace => trace.name && trace.meta !== 'key' && (trace.visible ?? true) === true)"
    drawn = f"{shown}.map(trace => `${{trace.name}} of ${{trace.legendgroup}}`).sort()"
    assert tab.ask(drawn) == sorted(["predicted of grpo", "predicted of star", "grpo of grpo", "star of star"] * 2)
    toggle(tab, "grpo")  # in both panels, with its predictions
    assert tab.ask(f"{hidden}.filter(name => name === 'grpo').length") == 2
    assert tab.ask(drawn) == sorted(["predicted of star", "star of star"] * 2)
    toggle(tab, "predicted")
    assert tab.ask(drawn) == ["star of star"] * 2
    toggle(tab, "predicted")  # which brings back none of a line that is hidden
    assert tab.ask(drawn) == sorted(["predicted of star", "star of star"] * 2)
    toggle(tab, "predicted")
    tab.ask("document.getElementById('theme').click()")  # drawn anew, and yet as chosen
    assert tab.ask(f"{hidden}.includes('grpo')")
    tab.ask("document.querySelector('.picture details').open = true")
    assert tab.ask("document.querySelectorAll('.picture details tbody tr').length") == 24


def test_pointing_tells_values_number_and_interval(tab: Page, index: Path) -> None:
    visit_claim(tab, index, "holds-here")
    traces = "[...document.querySelectorAll('.picture .subplot.xy .scatterlayer .trace')]"
    tab.point(f"{traces}.at(-2).querySelectorAll('.point')[1]")
    tab.wait("document.querySelectorAll('.hoverlayer .hovertext').length > 0")
    told = tab.ask("document.querySelector('.hoverlayer .hovertext').textContent")
    low, high = mean_interval([0.2, 0.22, 0.24, 0.3])
    for text in ("star", "mean 0.24", f"95 %: {low:.4g} to {high:.4g}", "n = 4 of 4 seeds", "seed 5: 0.3"):
        assert text in told


def test_a_band_a_mark_and_a_map_are_drawn(tab: Page, index: Path) -> None:
    visit_claim(tab, index, "with-pictures")
    star = f"{CHART}.data.find(trace => trace.name === 'star' && trace.hovertext)"
    assert tab.ask(f"{star}.y") == pytest.approx(
        [8**0.25, 64**0.25, 8.0], rel=1e-4
    )  # geometric; one seed lacks the last
    assert "n = 3 of 4 seeds" in tab.ask(f"{star}.hovertext[2]")
    assert "seed 5: —" in tab.ask(f"{star}.hovertext[2]")
    assert tab.ask(f"{CHART}.data.filter(trace => trace.fill === 'toself').length") == 2
    assert tab.ask(f"{CHART}.layout.shapes[0].x0") == 10
    assert "threshold" in tab.ask("document.querySelector('.picture .legend').textContent")
    assert tab.ask(f"[{CHART}.layout.xaxis.type, {CHART}.layout.yaxis.type]") == ["log", "log"]
    assert tab.ask(f"{CHART}.data.at(-1).z") == [[0, 1], [0.5, 0.25]]
    assert tab.ask("document.querySelectorAll('.heatmaplayer image').length") == 1


def test_panels_stand_side_by_side_where_there_is_room(tab: Page, index: Path) -> None:
    visit_claim(tab, index, "holds-here")
    for width, expected in ((1280, "wide"), (400, "narrow"), (1280, "wide")):
        tab.resize(width)
        tab.wait(f"({CHART}.layout.xaxis2.domain[0] > 0.4) === {'true' if expected == 'wide' else 'false'}")


@pytest.mark.parametrize(
    "fragment", ["", "#claim=with-pictures", "#claim=holds-here", "#run=small-00000002-s2", "#run=" + ODD]
)
@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_too_wide(width: int, fragment: str, tab: Page, index: Path) -> None:
    tab.resize(width)
    tab.visit(index, fragment.replace(" ", "%20").replace("<", "%3C"))
    tab.wait("location.hash === '' || document.querySelectorAll('#detail .main-svg').length > 0")
    assert tab.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert tab.ask("document.documentElement.clientWidth") >= width - 20  # a scroll bar
    assert tab.ask("document.getElementById('detail').hidden") == (not fragment)


def press_until(tab: Page, condition: str, most: int = 60) -> None:
    """Tab until what has the focus is what is looked for; each stop on the way must be seen to have it."""
    for _ in range(most):
        tab.press("Tab")
        assert tab.ask(f"getComputedStyle({FOCUSED}).outlineStyle") != "none", tab.ask(f"{FOCUSED}.outerHTML")
        if tab.ask(condition):
            return
    raise AssertionError(f"not reached in {most} steps: {condition}")


def test_keys_alone_reach_everything(tab: Page, index: Path) -> None:
    tab.visit(index)
    press_until(tab, f"{FOCUSED}.className === 'skip'", 1)
    tab.press("Enter")
    assert tab.ask(f"{FOCUSED}.id") == "main"
    press_until(tab, f"{FOCUSED}.hash === '#claim=holds-here'")
    press_until(tab, f"{FOCUSED}.id === 'words'")
    tab.type("s2 small")
    press_until(tab, f"{FOCUSED}.closest('th')?.dataset.key === 'p_cot'")
    tab.press("Enter", "Enter")
    assert tab.ask(f"{FOCUSED}.closest('th').getAttribute('aria-sort')") == "descending"
    first = column(tab, "run")[0]
    press_until(tab, f"{FOCUSED}.hash === '#run={first}'")
    tab.press("Enter")
    opened(tab, f"#run={first}")
    press_until(tab, f"{FOCUSED}.tagName === 'SUMMARY'")
    tab.press("Enter")
    assert tab.ask(f"{FOCUSED}.parentElement.open")
    tab.ask("history.back()")
    tab.wait("document.getElementById('detail').hidden")
    assert tab.ask(f"{FOCUSED}.hash") == f"#run={first}"


def test_keys_alone_choose_what_is_drawn(tab: Page, index: Path) -> None:
    visit_claim(tab, index, "holds-here")
    hidden = f"{CHART}.data.filter(trace => trace.visible === 'legendonly').map(trace => trace.name)"
    press_until(tab, f"{FOCUSED}.getAttribute('aria-label') === 'grpo'")
    tab.press("Space")
    tab.wait(f"{hidden}.includes('grpo') && {FOCUSED}.getAttribute('aria-label') === 'grpo'")
    tab.press("Enter")
    tab.wait(f"!{hidden}.includes('grpo')")


def test_light_and_dark(tab: Page, index: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "document.querySelector('.picture .chart')._fullLayout.font.color"
    light, dark = "rgb(255, 255, 255)", "rgb(18, 23, 29)"
    tab.prefer("dark")
    visit_claim(tab, index, "holds-here")
    assert (tab.ask(paper), tab.ask(ink)) == (dark, "#e7ebf0")
    tab.prefer("light")
    tab.wait(f"{paper} === '{light}' && {ink} === '#1b2430'")
    assert tab.ask("document.getElementById('theme').getAttribute('aria-pressed')") == "false"
    tab.ask("document.getElementById('theme').click()")
    assert (tab.ask(paper), tab.ask(ink)) == (dark, "#e7ebf0")
    assert tab.ask("document.getElementById('theme').getAttribute('aria-pressed')") == "true"
    tab.reload()
    time.sleep(0.3)
    tab.wait("document.readyState === 'complete' && performance.getEntriesByName('ready').length > 0")
    assert tab.ask(paper) == dark  # remembered
