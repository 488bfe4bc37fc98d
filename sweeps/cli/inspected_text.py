"""How `softaug inspect` shows what it found: a table of cells, the controls, captions and JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from sweeps.cli.terminal import console, say, say_wrapped
from sweeps.controls import Control, to_yaml
from sweeps.inspected import Subject
from sweeps.resolved import Cell

if TYPE_CHECKING:
    from softaug.inspection import Inspection

SMALLEST_ERROR = 0.0001
CONTROLS_PRINTED = 8  # arms; more fill the screen, and are in the file


def caption(subject: Subject, found: "Sequence[Inspection]") -> str:
    """Return what the numbers are means of, which seed, and what they do not show."""
    from softaug.inspection import left_out

    recipes = [subject.recipe(cell) for cell in subject.cells]
    looked_at = dict.fromkeys(
        f"{each.images} training images of {recipe.data.name} × {each.epochs} epoch{'' if each.epochs == 1 else 's'}"
        for recipe, each in zip(recipes, found, strict=True)
    )
    seeds = [] if subject.sweep is None else subject.sweep.seeds
    first = f", the first of {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    notes = dict.fromkeys(note for recipe in recipes for note in left_out(recipe))
    return (
        ". ".join([f"n = {'; '.join(looked_at)}; seed {subject.seed}{first}", "±: standard error of p", *notes]) + "."
    )


def print_inspection(subject: Subject, found: "Sequence[Inspection]", matched: Sequence[Control], out: Path) -> None:
    """Print a row per cell, what the numbers are of, and the controls, or where they are if they are many."""
    console.print(_table(subject, found))
    say_wrapped(caption(subject, found))
    say("")
    arms = [control for control in matched if control.twin is None]
    if len(arms) <= CONTROLS_PRINTED:
        say(to_yaml(matched, subject).rstrip())
        say("")
        return
    example = arms[0].of[0]
    say_wrapped(
        f"{len(arms)} matched controls are in {out / 'controls.yaml'}, to paste under `arms:`; "
        f'to see those of one cell or arm, name it: --arm "{example}"'
    )


def inspection_json(
    subject: Subject, found: "Sequence[Inspection]", matched: Sequence[Control], files: Sequence[Path]
) -> dict[str, Any]:
    """Return what `softaug inspect --json` prints."""
    return {
        "name": subject.name,
        "scale": None if subject.sweep is None else subject.sweep.scale,
        "seed": subject.seed,
        "note": caption(subject, found),
        "cells": [_cell_json(cell, each) for cell, each in zip(subject.cells, found, strict=True)],
        "controls": [_control_json(control) for control in matched],
        "files": [str(path) for path in files],
    }


def _table(subject: Subject, found: "Sequence[Inspection]") -> Table:
    named = [] if subject.sweep is None else subject.sweep.axes
    axes = [name for name in named if any(name in cell.axes for cell in subject.cells)]
    table = Table(box=None, pad_edge=False)
    table.add_column("arm")
    for name in (*axes, "visibility", "p", "±", "entropy (nats)", "weight", "effective"):
        table.add_column(name, justify="right")
    for cell, each in zip(subject.cells, found, strict=True):
        place = [str(cell.axes.get(name, "–")) for name in axes]
        table.add_row(Text(cell.arm), *place, *_numbers(each))
    return table


def _numbers(each: "Inspection") -> list[str]:
    return [
        f"{each.mean_visibility:.4f}",
        f"{each.mean_confidence:.4f}",
        _error(each.se_confidence),
        f"{each.mean_entropy_nats:.4f}",
        f"{each.mean_weight:.4f}",
        f"{100 * each.effective_fraction:.1f} %",
    ]


def _error(error: float | None) -> str:
    if not error:
        return ""
    return f"{error:.4f}" if error >= SMALLEST_ERROR else f"< {SMALLEST_ERROR}"


def _cell_json(cell: Cell, each: "Inspection") -> dict[str, Any]:
    histograms = {
        name: {"edges": histogram.edges, "counts": histogram.counts}
        for name, histogram in (("visibility", each.visibility), ("confidence", each.confidence))
    }
    named = {"arm": cell.arm, "axes": cell.axes, "cell_key": cell.cell_key}
    return {**named, **each.numbers(), "histograms": histograms}


def _control_json(control: Control) -> dict[str, Any]:
    arm = {"name": control.name, "set": control.set}
    return {"kind": control.kind, "of": control.of, "same_as": control.twin, "arm": arm}
