"""The page at the end of a run; a failure to write it does not fail the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def written(folder: Path, say: Callable[[str], None]) -> Path | None:
    """Write the page of a finished run unless it exists, and return its path; None if it cannot be written.

    `say` receives the reason. No error (a full disk, a read-only folder, a missing font) fails the run or its record.
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
