"""A real Chromium for tests, spoken to in its DevTools protocol over a pipe: real keys, real time, real widths."""

import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-sync")
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " ")}
PATIENCE = 30.0  # seconds for an answer, on a machine that is busy


class Browser:
    """A browser process; `page` opens tabs in it."""

    def __init__(self, executable: str, profile: Path) -> None:
        hears, self._to = os.pipe()
        self._from, says = os.pipe()
        hears, says = os.dup(hears), os.dup(says)  # away from 3 and 4, which the browser expects them at

        def place() -> None:
            first, second = os.dup2(hears, 60), os.dup2(says, 61)
            os.dup2(first, 3)
            os.dup2(second, 4)

        command = [executable, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, preexec_fn=place, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(hears)
        os.close(says)
        self._rest, self._number = b"", 0
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def page(self, width: int = 1280, height: int = 900) -> "Page":
        """A new tab of that size, in which nothing is remembered from others."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session, width, height)

    def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The answer to a command; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            got = self._receive()
            if got.get("id") == self._number:
                assert "error" not in got, got["error"]
                return got["result"]
            self.events.append(got)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._from], [], [], PATIENCE)[0], "the browser does not answer"
            chunk = os.read(self._from, 1 << 20)
            assert chunk, "the browser has ended"
            self._rest += chunk
        first, self._rest = self._rest.split(b"\0", 1)
        return json.loads(first)


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str, width: int, height: int) -> None:
        self._browser, self._session = browser, session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.resize(width, height)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command for this tab."""
        return self._browser.send(method, self._session, **params)

    def resize(self, width: int, height: int = 900) -> None:
        """Set the size of what the page is seen in."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """The reader's system is light or dark."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def visit(self, file: Path, fragment: str = "") -> None:
        """Load a page, until its script has run to its end."""
        self.send("Page.navigate", url=file.as_uri() + fragment)
        self.wait("document.readyState === 'complete' && performance.getEntriesByName('ready').length > 0")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        got = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until the expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.ask(expression):
            assert time.monotonic() < end, f"never came true: {expression}"
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other."""
        for key in keys:
            code, text = KEYS[key]
            key_name = text if key == "Space" else key
            about = {"key": key_name, "code": key, "windowsVirtualKeyCode": code}
            self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
            self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def point(self, element: str, x: float = 0.5, y: float = 0.5) -> None:
        """Move the mouse over an element, to a share of its width and height."""
        box = self.ask(f"(({element}).scrollIntoView(), ({element}).getBoundingClientRect().toJSON())")
        place = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        self.send("Input.dispatchMouseEvent", type="mouseMoved", **place)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.send("Input.insertText", text=text)

    def complaints(self) -> Sequence[str]:
        """Errors and warnings of the console, exceptions, and requests for anything that is not a local file."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            told = json.dumps(event["params"])
            said = event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "warning")
            if said or event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(told)
            elif event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:", "about:")):
                    found.append(url)
        return found
