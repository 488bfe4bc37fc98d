"""How `softaug evaluate` shows its progress and its results."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from softaug.datasets import dataset
from sweeps.cli.live import duration, plus_minus
from sweeps.cli.terminal import say, say_on_stderr
from sweeps.doctor.findings import PLACES_SHOWN, counted
from sweeps.evaluate import CellView, Outcome
from sweeps.resolved import ResolvedSweep
from trainables.evaluation import Fill, metric_prefix

SAY_EVERY_S = 10.0
COLOUR: Mapping[Fill, str] = {"mean": "mean colour", "black": "black", "noise": "noise"}
ERROR = {"top1_error": ("top-1 error %", 2)}  # heading and decimals
CALIBRATION = {
    "ece": ("ECE %", 2),
    "adaptive_ece": ("adaptive %", 2),
    "classwise_ece": ("classwise %", 2),
    "nll": ("NLL nats", 3),
    "brier": ("Brier score", 3),
}


@contextmanager
def progress_on(console: Console, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows (done, of): as a bar in a terminal, anywhere else as a line every few seconds."""
    said, since = -SAY_EVERY_S, (0, 0.0)  # trials done at that time, when the processes had begun

    def line(done: int, of: int) -> Text:
        nonlocal since
        now = time.monotonic()
        if not since[0]:
            since = done, now
        paced = since[0] and since[0] < done < of
        left = f", about {duration((now - since[1]) / (done - since[0]) * (of - done))} left" if paced else ""
        return Text(f"{done} of {of} trials evaluated{left}")

    def in_lines(done: int, of: int) -> None:
        nonlocal said
        text = line(done, of)
        if of and (done == of or time.monotonic() - said >= SAY_EVERY_S):
            console.print(text, soft_wrap=True)
            said = time.monotonic()

    if quiet or not console.is_terminal:
        yield (lambda _done, _of: None) if quiet else in_lines
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def in_a_bar(done: int, of: int) -> None:
            row = Table.grid(padding=(0, 2))
            row.add_row(ProgressBar(total=max(of, 1), completed=done, width=30), line(done, of))
            live.update(row, refresh=True)

        yield in_a_bar


def print_evaluation(
    console: Console,
    views: list[CellView],
    percents: list[int],
    fill: Fill,
    areas: Mapping[int, float],
    further: Sequence[str] = (),
) -> None:
    """Print error over occlusion and, of the uncovered images, calibration: mean ± SE, a dash for a hole.

    `further`: names of further test sets, whose error and calibration follow.
    """
    covered = [percent for percent in percents if percent]
    if covered:
        _print_occluded(console, views, covered, fill, areas)
    else:
        console.print(_table(views, _of("test", ERROR | CALIBRATION)))
    for name in further:
        console.print()
        console.print(Text(dataset(name).title), soft_wrap=True)
        console.print(_table(views, _of(metric_prefix(0, None, name), ERROR | CALIBRATION)))


def _print_occluded(
    console: Console, views: list[CellView], covered: list[int], fill: Fill, areas: Mapping[int, float]
) -> None:
    errors = {f"{metric_prefix(percent, fill)}/top1_error": (f"{percent} %", 2) for percent in (0, *covered)}
    with_what = COLOUR[fill]
    if all(percent in areas for percent in covered):
        with_what += f"; in whole pixels {', '.join(f'{areas[percent]:.1f}' for percent in covered)} %"
    console.print(Text(f"top-1 error %, by how much of every image is covered ({with_what})"), soft_wrap=True)
    console.print(_table(views, errors))
    console.print()
    console.print(Text("calibration, nothing covered"))
    console.print(_table(views, _of("test", CALIBRATION)))


def _of(prefix: str, columns: Mapping[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    return {f"{prefix}/{name}": column for name, column in columns.items()}


def print_what_lacks(sweep: ResolvedSweep, outcome: Outcome) -> None:
    """Say why trials could not be evaluated, and how many have not finished."""
    named = {key: f"{cell.title}, seed {seed}" for cell in sweep.cells for seed, key in cell.trials.items()}
    if outcome.unfinished:
        say(f"{counted(outcome.unfinished, 'trial')} of {len(named)} not finished, so not evaluated")
    for key, why in list(outcome.problems.items())[:PLACES_SHOWN]:
        say_on_stderr("error", f"{named[key]} (trial {key[:12]}) is not evaluated: {why}")
    if len(outcome.problems) > PLACES_SHOWN:
        say_on_stderr("error", f"… and {len(outcome.problems) - PLACES_SHOWN} more; --json lists all")


def _table(views: list[CellView], columns: Mapping[str, tuple[str, int]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("cell")
    for heading in ("n", *(heading for heading, _ in columns.values())):
        table.add_column(heading, justify="right")
    for view in views:
        n = f"{view.done}/{len(view.cell.trials)}"
        numbers = [plus_minus(view.estimates.get(name), decimals) for name, (_, decimals) in columns.items()]
        table.add_row(view.cell.title, n, *numbers)
    return table


def evaluation_json(
    sweep: ResolvedSweep, views: list[CellView], outcome: Outcome, areas: Mapping[int, float]
) -> dict[str, Any]:
    """Return what `softaug evaluate --json` prints."""
    return {
        "sweep": sweep.name,
        "scale": sweep.scale,
        "areas": {str(percent): area for percent, area in areas.items()},
        "unfinished": outcome.unfinished,
        "problems": dict(outcome.problems),
        "cells": [
            {
                "arm": view.cell.arm,
                "cell_key": view.cell.cell_key,
                "expected": len(view.cell.trials),
                "n": view.done,
                "metrics": {name: {"mean": value.mean, "se": value.se} for name, value in view.estimates.items()},
            }
            for view in views
        ],
    }
