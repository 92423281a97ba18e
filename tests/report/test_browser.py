"""The page in a real browser, at the width of a desk and of a telephone: drawn whole, nothing too wide, no error."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import browser

FLAGS = (*browser.FLAGS, "--enable-logging=stderr", "--virtual-time-budget=8000", "--window-size=1400,3000")

# Run in the page once it is drawn. A full row of tokens is made, whose last one is the hardest place for a probability.
PROBE = """
<script>setTimeout(() => {
  const page = document.documentElement, tokens = [...document.querySelectorAll('.tokens [data-probability]')];
  const found = {
    overflow: page.scrollWidth - page.clientWidth,
    charts: document.querySelectorAll('svg.main-svg').length,
    traces: document.querySelectorAll('.scatterlayer .trace').length,
    rows: document.querySelectorAll('#summary tbody tr').length,
    tokens: tokens.length,
  };
  const row = document.querySelector('.response .tokens');
  for (let i = 0; i < 60; i++) row.append(row.firstElementChild.cloneNode(true));
  const right = token => token.getBoundingClientRect().right;
  const last = [...row.children].reduce((a, b) => right(b) > right(a) ? b : a);
  found.told_before = getComputedStyle(last, '::after').content;
  last.focus();
  found.told = getComputedStyle(last, '::after').content;
  found.overflow_when_told = page.scrollWidth - page.clientWidth;
  parent.postMessage(found, '*');
}, 3000)</script>
"""
FRAME = """
<body><pre id='found'></pre><script>addEventListener('message', e => {
  document.getElementById('found').textContent = JSON.stringify(e.data) })</script>
<iframe src='page.html' width=WIDTH height=3000></iframe></body>
"""


def probe(chromium: str, page: Path, folder: Path, width: int) -> dict[str, Any]:
    """What PROBE finds in the page, in a frame of the given width: headless windows have a least width of their own."""
    (folder / "page.html").write_text(
        page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8"
    )
    (folder / "frame.html").write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    command = [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", f"file://{folder}/frame.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    match = re.search(r'<pre id="found">(.+?)</pre>', done.stdout)
    assert match, done.stderr[-2000:]
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(match[1])


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_draws_the_page(chromium: str, finished: Path, tmp_path: Path, width: int) -> None:
    found = probe(chromium, finished / "report.html", tmp_path, width)
    assert found["overflow"] <= 0
    assert found["charts"] >= 4
    assert found["traces"] > 10
    assert found["rows"] == 5
    assert found["tokens"] > 20
    assert found["told_before"] == "none"
    assert "probability" in found["told"]
    assert found["overflow_when_told"] <= 0
