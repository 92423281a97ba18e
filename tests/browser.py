"""A real Chromium for tests, driven by Playwright: real keys, real time, real widths."""

from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import BrowserContext, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-sync")
PATIENCE = 30_000  # milliseconds for an answer, on a machine that is busy
LOCAL = ("file:", "data:", "blob:", "about:")
READY = "document.readyState === 'complete'"
SCRIPT_READY = "performance.getEntriesByName('ready').length > 0"
"""The page of results marks the end of its script."""


class Browser:
    """A browser process; `page` opens tabs in it. Playwright's event loop runs until `close`."""

    def __init__(self, executable: str) -> None:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=executable, args=FLAGS)

    def close(self) -> None:
        """End the process and the event loop."""
        self._browser.close()
        self._playwright.stop()

    def page(self, width: int = 1280, height: int = 900) -> "Page":
        """A new tab of that size, in which nothing is remembered from others."""
        return Page(self._browser.new_context(viewport={"width": width, "height": height}))


class Page:
    """A tab; `complaints` are its errors and warnings, and requests for anything that is not a local file."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        self._page = page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda line: self._complain(line.text, line.type in ("error", "warning")))
        page.on("pageerror", lambda error: self._complain(str(error)))
        page.on("request", lambda request: self._complain(request.url, not request.url.startswith(LOCAL)))

    def _complain(self, text: str, counts: bool = True) -> None:
        if counts:
            self.complaints.append(text)

    def close(self) -> None:
        """Close the tab."""
        self._page.context.close()

    def resize(self, width: int, height: int = 900) -> None:
        """Set the size of the part of the page that is seen."""
        self._page.set_viewport_size({"width": width, "height": height})

    def prefer(self, scheme: Literal["light", "dark"]) -> None:
        """The reader's system is light or dark."""
        self._page.emulate_media(color_scheme=scheme)

    def visit(self, file: Path, fragment: str = "") -> None:
        """Load a page, until its script has run to its end."""
        self._page.goto("about:blank")  # another fragment alone would load nothing
        self._page.goto(file.as_uri() + fragment)
        self.wait(f"{READY} && (!document.getElementById('runs') || {SCRIPT_READY})")

    def reload(self) -> None:
        """Load the page again."""
        self._page.reload()

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self._page.evaluate(f"() => ({expression})")

    def wait(self, expression: str) -> None:
        """Until the expression is true."""
        self._page.wait_for_function(f"() => ({expression})", polling=20)

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other."""
        for key in keys:
            self._page.keyboard.press(key)

    def point(self, element: str, x: float = 0.5, y: float = 0.5) -> None:
        """Move the mouse over an element, to a share of its width and height."""
        box = self.ask(f"(({element}).scrollIntoView(), ({element}).getBoundingClientRect().toJSON())")
        self._page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._page.keyboard.insert_text(text)
