"""The view of a running launch: a table that renews itself in a terminal, plain lines anywhere else."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from softaug.estimate import Estimate
from sweeps.plan.forecast import Span
from sweeps.plan.work_left import forecast_of
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.search.failures import failures
from sweeps.search.outcomes import Outcomes
from sweeps.search.text import search_line
from sweeps.survey import Survey, Surveyor
from trainables.store import Store

RENEW_EVERY_S = 1.0
LOOKING_SHARE = 50.0  # waits this many times as long as looking took
SAY_EVERY_S = 60.0
LINES_AROUND_TABLE = 6


class LiveView:
    """Shows one launch on a console; `say` may be called from any thread."""

    def __init__(self, console: Console, store: Store, sweep: ResolvedSweep) -> None:
        self.console = console
        self.surveyor = Surveyor(store, sweep)
        self.outcomes = None if sweep.search is None else Outcomes(store, sweep.search)
        self.slots = 0
        self.over = threading.Event()
        self.thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Show one line, above the table if there is one."""
        self.console.print(Text(text), soft_wrap=True)

    def watch(self, slots: int) -> None:
        """Start showing how the sweep stands."""
        self.slots = slots
        show = self._renew_table if self.console.is_terminal else self._print_lines
        self.thread = threading.Thread(target=show, name="view", daemon=True)
        self.thread.start()

    def grow(self, sweep: ResolvedSweep) -> None:
        """Show from now on the sweep as it has grown."""
        self.surveyor.sweep = sweep

    def close(self) -> None:
        """Show the last state and stop."""
        self.over.set()
        if self.thread is not None:
            self.thread.join()

    def _renew_table(self) -> None:
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while not self.over.is_set():
                started = time.monotonic()
                live.update(self._table(), refresh=True)
                self._pause(started)

    def _table(self) -> RenderableType:
        now = self.surveyor.survey()
        rows = self.console.height - LINES_AROUND_TABLE
        progress = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=max(len(now.trials), 1), completed=now.ended, width=30)
        progress.add_row(bar, Text(progress_line(now, self.slots)))
        searched = [Text(line) for line in self._search_lines(now)]
        return Group(progress, *searched, cells_table(now, rows - len(searched)))

    def _search_lines(self, now: Survey) -> list[str]:
        return [] if self.outcomes is None else [search_line(now.sweep, self.outcomes)]

    def _print_lines(self) -> None:
        told: set[str] = set()
        ended, said, searched = -1, 0.0, [""]
        while True:
            last, started = self.over.is_set(), time.monotonic()
            now = self.surveyor.survey()
            if now.ended != ended or time.monotonic() - said > SAY_EVERY_S:
                self.say(progress_line(now, self.slots))
                ended, said = now.ended, time.monotonic()
                searched, before = self._search_lines(now), searched
                for line in searched if searched != before else ():
                    self.say(line)
            for cell in now.sweep.cells:
                if cell.cell_key not in told and all(now.trials[key].end for key in cell.trials.values()):
                    told.add(cell.cell_key)
                    self.say(f"  {cell.title}: {_errors(now, cell)}")
            if last:
                return
            self._pause(started)

    def _pause(self, started: float) -> None:
        """Wait until it is time to look again; looking at a large sweep must not slow it down."""
        self.over.wait(max(RENEW_EVERY_S, LOOKING_SHARE * (time.monotonic() - started)))


@contextmanager
def live_view(console: Console, store: Store, sweep: ResolvedSweep) -> Iterator[LiveView]:
    """Show a launch until the block ends."""
    view = LiveView(console, store, sweep)
    try:
        yield view
    finally:
        view.close()


def progress_line(now: Survey, slots: int) -> str:
    """Return how many trials are done, running and to do, and the time left."""
    parts = [f"{now.count('finished')} of {len(now.trials)} trials done"]
    parts += [
        f"{now.count(state)} {state}" for state in ("stopped", "failed", "diverged", "damaged") if now.count(state)
    ]
    parts += [f"{now.count('running')} running", f"{now.count('pending')} to do"]
    expected = forecast_of(now)
    left = expected.time_left_s(slots)
    if expected.known and left.value >= 1:
        parts.append(f"about {duration_text(left)} left")
    return ", ".join(parts)


def cells_table(now: Survey, rows: int | None = None) -> Table:
    """Return a row per cell: done, mean top-1 error and ECE so far with standard error.

    With more cells than `rows`, the ones that are not complete come first and the rest are counted.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    for name in ("done", "top-1 error %", "ECE %"):
        table.add_column(name, justify="right")
    shown = list(now.sweep.cells)
    if rows is not None and len(shown) > rows:
        shown = sorted(shown, key=lambda cell: _done(now, cell) == len(cell.trials))[: max(rows - 1, 1)]
    for cell in shown:
        estimates = now.estimates(cell)
        values = [plus_minus(estimates.get(name)) for name in ("test/top1_error", "test/ece")]
        table.add_row(cell.title, f"{_done(now, cell)}/{len(cell.trials)}", *values)
    if len(shown) < len(now.sweep.cells):
        table.add_row(f"… and {len(now.sweep.cells) - len(shown)} more cells")
    return table


def print_outcome(console: Console, now: Survey) -> None:
    """Print how the sweep stands, cell by cell, and why trials failed."""
    console.print(cells_table(now))
    for cell in now.sweep.cells:
        for seed, key in cell.trials.items():
            trial = now.trials[key]
            if trial.reason:
                console.print(
                    Text(f"{trial.state}: {cell.title}, seed {seed} (trial {key[:12]}): {trial.reason}"), soft_wrap=True
                )
    for line in failures(now):
        console.print(Text(line), soft_wrap=True)


def _done(now: Survey, cell: Cell) -> int:
    return sum(now.trials[key].state == "finished" for key in cell.trials.values())


def _errors(now: Survey, cell: Cell) -> str:
    estimates = now.estimates(cell)
    if "test/top1_error" not in estimates:
        return f"no seed finished (0/{len(cell.trials)})"
    error, ece = estimates["test/top1_error"], estimates["test/ece"]
    return f"top-1 error {plus_minus(error)} %, ECE {plus_minus(ece)} % (n = {error.n} of {len(cell.trials)})"


def plus_minus(value: Estimate | None, decimals: int = 2) -> str:
    """Return "2.41 ± 0.12" (mean and SE), the mean alone at n = 1, a dash for a hole."""
    if value is None:
        return "–"
    mean = f"{value.mean:.{decimals}f}"
    return mean if value.se is None else f"{mean} ± {value.se:.{decimals}f}"


def duration(seconds: float) -> str:
    """Return "85 s", "12 min", "2.5 h", "645 h"."""
    unit, form, length = _unit(seconds)
    return f"{seconds / length:{form}} {unit}"


def duration_text(span: Span) -> str:
    """Return "12 (9–16) min": the time expected and its 95 % interval, which are in seconds."""
    unit, form, length = _unit(span.value)
    value, low, high = (f"{each / length:{form}}" for each in (span.value, span.low, span.high))
    return f"{value} ({low}–{high}) {unit}"


def _unit(seconds: float) -> tuple[str, str, float]:
    """Return unit, format and seconds per unit for a time like this one."""
    if seconds < 90:
        return "s", ".0f", 1.0
    if seconds < 90 * 60:
        return "min", ".0f", 60.0
    return "h", ".1f" if seconds < 360_000 else ",.0f", 3600.0
