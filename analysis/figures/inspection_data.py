"""The numbers of an inspection as CSV, apart from its drawing: one table of cells, curves, histograms and samples."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from typing import TYPE_CHECKING

from analysis.cells import axis_text
from sweeps.resolved import Axis, Cell

if TYPE_CHECKING:
    from softaug.inspection import Inspection

Row = tuple[float | int | str | None, ...]


@dataclass(frozen=True)
class Inspected:
    """A cell and what an inspection found, as a row of the picture."""

    cell: Cell
    inspection: "Inspection"

    def axes_text(self, axes: Mapping[str, Axis]) -> str:
        """Return "σ = 0.3, k = 2"."""
        return ", ".join(axis_text(axes, name, value) for name, value in self.cell.axes.items())


def to_csv(cells: Sequence[Inspected]) -> dict[str, str]:
    """Return file name -> content: cells.csv, curves.csv, histograms.csv, samples.csv."""
    numbers = list(cells[0].inspection.numbers())
    return {
        "cells.csv": _table(cells, ("cell_key", *numbers), _numbers),
        "curves.csv": _table(cells, ("visibility", "confidence", "weight"), _curve),
        "histograms.csv": _table(cells, ("quantity", "low", "high", "count"), _bins),
        "samples.csv": _table(cells, ("image", "class", "visibility", "confidence", "weight"), _samples),
    }


def _table(cells: Sequence[Inspected], names: Sequence[str], rows_of: Callable[[Inspected], Iterator[Row]]) -> str:
    """Return a CSV whose rows begin with the cell's arm and its value on every axis, empty where it has none."""
    axes = list(dict.fromkeys(name for each in cells for name in each.cell.axes))
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", *axes, *names])
    for each in cells:
        place = (each.cell.arm, *(each.cell.axes.get(name) for name in axes))
        writer.writerows((*place, *row) for row in rows_of(each))
    return text.getvalue()


def _numbers(each: Inspected) -> Iterator[Row]:
    yield each.cell.cell_key, *each.inspection.numbers().values()


def _curve(each: Inspected) -> Iterator[Row]:
    curve = each.inspection.curve
    yield from zip(curve.visibility, curve.confidence, curve.weight, strict=True)


def _bins(each: Inspected) -> Iterator[Row]:
    for name, histogram in (("visibility", each.inspection.visibility), ("confidence", each.inspection.confidence)):
        for (low, high), count in zip(pairwise(histogram.edges), histogram.counts, strict=True):
            yield name, low, high, count


def _samples(each: Inspected) -> Iterator[Row]:
    for number, sample in enumerate(each.inspection.samples, 1):
        yield number, sample.class_name, sample.visibility, sample.confidence, sample.weight
