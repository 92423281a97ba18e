"""Progress of a run: a live bar and table in a terminal, plain lines elsewhere; and tables of results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from chainlift.report.names import measured_in
from chainlift.report.prompt_words import prompt_words
from chainlift.report.terminal.console import console, plain
from chainlift.runs import stage_views
from chainlift.runs.shapes import FORM_METRICS
from chainlift.tasks.base import EOS
from chainlift.visible import visible

SHOWN_ROWS = 6  # evaluations kept in sight
MODES = ("greedy", "sampled")
PLAIN_SECONDS = 10.0  # between two plain lines


class Reporter:
    """Shows stages, updates and evaluations.

    quiet: show nothing. brief, for one run of many: show only the progress of a stage, and remove it afterwards.
    """

    def __init__(self, *, quiet: bool = False, brief: bool = False, file: TextIO | None = None) -> None:
        self.console = console(file=file or sys.stderr, quiet=quiet)
        self.brief = brief
        self._live: Live | None = None
        self._bar: Progress | None = None
        self._evaluations: list[dict[str, Any]] = []
        self._started, self._first_step, self._last_line = 0.0, 0, 0.0
        self._total = 0

    def say(self, text: str) -> None:
        """Print one line, also during a stage."""
        if not self.brief:
            self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    @contextmanager
    def stage(self, title: str, step: int, total: int) -> Iterator[None]:
        """Show a stage that starts or continues at `step` of `total` updates."""
        self._started, self._first_step, self._last_line = time.monotonic(), step, time.monotonic()
        self._total, self._evaluations = total, []
        where = f", continues at update {step}" if step else ""
        if not self.console.is_terminal:
            self.say(f"{title}: {total} updates{where}")
            yield
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._bar.add_task(title, total=total, completed=step, rate="")
        with Live(self._bar, console=self.console, refresh_per_second=4, transient=self.brief) as self._live:
            yield
            self._live = None

    def update(self, row: dict[str, Any]) -> None:
        """Show one metrics row of kind `update`."""
        now, step = time.monotonic(), row["step"]
        done = max(step - self._first_step, 1)
        rate = done / max(now - self._started, 1e-9)
        if self._bar is not None and self._live is not None:
            self._bar.update(self._bar.task_ids[0], completed=step, rate=_pace(rate))
        elif now - self._last_line >= PLAIN_SECONDS or (step == self._total and not self.brief):
            self._last_line = now
            remaining = (self._total - step) / rate
            progress = f"reward {row['reward_mean']:.3f}" if "reward_mean" in row else f"loss {row['loss']:.4f}"
            self._print(f"  update {step}/{self._total}  {progress}  {_pace(rate)}  {remaining:.0f} s left")

    def evaluation(self, row: dict[str, Any]) -> None:
        """Show one metrics row of kind `evaluation`."""
        if self.brief:
            return
        self._evaluations = [*self._evaluations, row][-SHOWN_ROWS:]
        if self._bar is not None and self._live is not None:
            self._live.update(Group(_evaluation_table(self._evaluations), self._bar))
        else:
            greedy, sampled = row["greedy"], row["sampled"]
            self.say(
                f"  after {row['step']:>4} updates: greedy accuracy {greedy['accuracy']:.3f}, "
                f"length {greedy['length_median']:g}; sampled accuracy {sampled['accuracy']:.3f}, "
                f"long share {sampled['long_share']:.3f}"
            )


def _pace(rate: float) -> str:
    """Updates per second, or seconds per update if an update takes longer than a second."""
    return f"{rate:.1f} updates/s" if rate >= 1 else f"{1 / rate:.1f} s/update"


def _evaluation_table(rows: list[dict[str, Any]]) -> Table:
    """The last evaluations, one a line."""
    table = Table("updates", "greedy accuracy", "greedy length", "sampled accuracy", "sampled long share")
    for row in rows:
        greedy, sampled = row["greedy"], row["sampled"]
        table.add_row(
            str(row["step"]),
            f"{greedy['accuracy']:.3f}",
            f"{greedy['length_median']:g}",
            f"{sampled['accuracy']:.3f}",
            f"{sampled['long_share']:.3f}",
        )
    return table


def summary_table(summary: dict[str, Any]) -> Table:
    """Table of measurements after each stage beside theory, with 95 % intervals over the evaluation prompts."""
    views = stage_views.of_summary(summary)
    prompts = prompt_words(summary, summary[views[0].name]["prompts"])
    table = Table(title=f"{summary['run_id']}: {prompts}; 95 % intervals over prompts")
    table.add_column("")
    theory = summary["theory"]["stages"]
    for stage in views:
        table.add_column(stage.column)
        if stage.name in theory:
            table.add_column("theory" if stage.start is None else "theory: limit", style="dim")
    for key, name, predicted in measured_in(summary[stage.name] for stage in views):
        cells = [name]
        for stage in views:
            cells.append(cell(summary[stage.name], key))
            if stage.name in theory:
                value = theory[stage.name].get(predicted)
                cells.append("—" if value is None else f"{value:g}")
        table.add_row(*cells)
    return table


def cell(measured: dict[str, Any], key: str) -> str:
    """A quantity of a stage's summary or of an evaluation as text, with its interval if it has one."""
    if measured[key] is None:
        return "—"
    interval = measured.get(f"{key}_ci95")
    if interval is None:
        return f"{measured[key]:g}" if "length" in key else f"{measured[key]:.4f}"
    return f"{measured[key]:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def evaluation_table(measured: dict[str, Any]) -> Table:
    """Table of an evaluation: greedy beside sampled, with 95 % intervals."""
    prompts = prompt_words(measured, measured["greedy"]["n"])
    table = Table("", "greedy", "sampled", title=f"{prompts}; 95 % intervals over prompts")
    names = (
        "accuracy",
        "long_share",
        "length_median",
        "length_mean",
        "chain_exactness",
        "step_accuracy",
        "unfinished_share",
    )
    if "long_accuracy" in measured["greedy"]:  # a language model, whose chains are not graded token by token
        names = (*names[:-2], "unfinished_share", *FORM_METRICS)
    for name in names:
        table.add_row(name.replace("_", " "), *(_quantity(measured[mode], name) for mode in MODES))
    if "forced_long" in measured:
        table.add_row("accuracy if made long", cell(measured["forced_long"], "accuracy"), "")
    if "long_prefix" in measured:
        table.add_row("probability of the long opening", "", f"{measured['long_prefix']['probability']:.3f}")
    for k, value in measured["sampled"].get("pass_at_k", {}).items():
        table.add_row(f"pass@{k}", "", f"{value:.3f}")
    for position, accuracies in enumerate(
        zip(*(measured[mode].get("digit_accuracy", []) for mode in MODES), strict=True)
    ):
        table.add_row(f"answer's token {position + 1}", *(f"{value:.3f}" for value in accuracies))
    for length in measured["greedy"].get("by_prompt_length", {}):
        by_mode = [measured[mode]["by_prompt_length"][length] for mode in MODES]
        table.add_row(
            f"accuracy at length {length} (n {by_mode[0]['n']})",
            *(cell(row, "accuracy") for row in by_mode),
        )
    return table


def _quantity(measured: dict[str, Any], name: str) -> str:
    if measured[name] is None:
        return "no long response" if name.startswith(("chain", "step")) else "—"
    return f"{measured[name]:g}" if name.startswith("length") else cell(measured, name)


def _verdict(response: dict[str, Any]) -> str:
    """The verdict on a response; `ungraded` if the right answer is unknown."""
    if not response["finished"]:
        return "unfinished"
    return {True: "right", False: "wrong", None: "ungraded"}[response["answer"]]


def response_lines(responses: list[dict[str, Any]]) -> list[Text]:
    """Responses as colored tokens (right green, wrong red, EOS dim) above their probabilities."""
    lines = []
    for response in responses:
        lines.append(plain(f"{response['prompt']}  ->  {_verdict(response)}, length {response['length']}", "bold"))
        if "text" in response:
            lines += [plain(f"  {line}") for line in response["text"].strip().splitlines()]
            continue
        tokens, chances = Text("  "), Text("  ", style="dim")
        triples = zip(response["response"], response["probabilities"], response["token_right"], strict=True)
        for raw, probability, right in triples:
            token = visible(raw)
            width = max(len(token), 4) + 1
            style = "dim" if raw == EOS else "green" if right else "red"
            tokens.append(token.ljust(width), style=style)
            chances.append(f"{probability:.2f}".ljust(width))
        lines += [tokens, chances]
    return lines
