"""The page at the end of a run: a run is finished whether or not its page can be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def written(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The page of a finished run, made unless it is there; None if it cannot be, which `say` hears of with the reason.

    Whatever goes wrong, the run and its record stand: a full disk, a folder that may not be written, a font.
    """
    report = folder / "report.html"
    if report.exists():
        return report
    try:
        from chainlift.report.pages import run_page  # matplotlib and plotly take a second: not before the first update

        return run_page.write(folder)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        say(f"the run is finished, but its report could not be written ({reason}); later: chainlift report {folder}")
        return None
