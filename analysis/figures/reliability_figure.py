"""Reliability diagrams of a sweep: a small one per arm and line, a curve per value on its axis, with ECE ± SE in it.

Of more curves or panels than can be told apart, so many are drawn, evenly spaced.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from analysis.cells import CellRuns, axis_text, describe
from analysis.figures.reliability import Curve, draw_reliability
from analysis.figures.style import COLOURS, Drawn, rows_csv
from analysis.results import Results
from softaug.estimate import Estimate

MOST_CURVES = len(COLOURS)  # in a panel
MOST_PANELS = 20
CurveOf = Callable[[CellRuns], Curve | None]
ALL_SEEDS = "all seeds"


@dataclass(frozen=True)
class Reliability:
    """A cell's diagram, its seeds' images together, and its expected calibration error in percent over seeds."""

    curve: Curve
    ece: Estimate
    seeds: str


@dataclass(frozen=True)
class Row:
    """One bin, (low, high], of one cell in the CSV; accuracy and confidence 0..1, None in a bin without images."""

    panel: str
    line: str
    low: float
    high: float
    count: int
    accuracy: float | None
    confidence: float | None
    ece: float
    ece_se: float | None
    seeds: str


@dataclass(frozen=True)
class ReliabilityData:
    """Panel -> line -> cell (None: a hole); the baseline, which is in every panel."""

    panels: dict[str, dict[str, Reliability | None]]
    baseline: tuple[str, Reliability | None]


def reliability(results: Results, curve_of: CurveOf) -> Drawn | None:
    """Return the diagrams, None if no cell but the baseline has one."""
    data = reliability_data(results, curve_of)
    if not any(each for lines in data.panels.values() for each in lines.values()):
        return None
    curves = {
        panel: {line: each.curve if each else None for line, each in lines.items()}
        for panel, lines in data.panels.items()
    }
    eces = {panel: {line: each.ece for line, each in lines.items() if each} for panel, lines in data.panels.items()}
    name, base = data.baseline
    drawing = draw_reliability(curves, (name, base.curve) if base else None, eces, base.ece if base else None)
    return Drawn("reliability", rows_csv(Row, _rows(data)), drawing)


def reliability_data(results: Results, curve_of: CurveOf) -> ReliabilityData:
    """Return the numbers of the diagrams."""
    panels: dict[str, dict[str, CellRuns]] = {}
    for cell in results.cells:
        if cell is not results.baseline:
            x = _x_axis(results, cell)
            panel = describe(cell.cell, results.sweep.axes, without=x)
            line = ALL_SEEDS if x is None else axis_text(results.sweep.axes, x, cell.cell.axes[x])
            panels.setdefault(panel, {})[line] = cell
    drawn = {
        panel: {
            line: _reliability(panels[panel][line], curve_of) for line in spread_out(list(panels[panel]), MOST_CURVES)
        }
        for panel in spread_out(list(panels), MOST_PANELS)
    }
    return ReliabilityData(drawn, (results.sweep.baseline, _reliability(results.baseline, curve_of)))


def spread_out(items: Sequence[str], most: int) -> list[str]:
    """Return at most so many of the items (two or more), evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _x_axis(results: Results, cell: CellRuns) -> str | None:
    """Return the axis whose values share a panel: the figure's x, or the first that is not that of the arm's lines."""
    figure = results.sweep.figure
    if figure is not None and figure.x in cell.cell.axes:
        return figure.x
    line = None if figure is None else figure.lines.get(cell.cell.arm)
    return next((axis for axis in cell.cell.axes if axis != line), None)


def _reliability(cell: CellRuns, curve_of: CurveOf) -> Reliability | None:
    curve, ece = curve_of(cell), cell.estimate("test/ece")
    return None if curve is None or ece is None else Reliability(curve, ece, cell.seeds)


def _rows(data: ReliabilityData) -> Iterator[Row]:
    name, baseline = data.baseline
    for panel, lines in {"every panel": {name: baseline}, **data.panels}.items():
        for line, each in lines.items():
            if each is not None:
                yield from (_row(panel, line, number, each) for number in range(len(each.curve.count)))


def _row(panel: str, line: str, number: int, each: Reliability) -> Row:
    count = each.curve.count[number]
    return Row(
        panel=panel,
        line=line,
        low=number / len(each.curve.count),
        high=(number + 1) / len(each.curve.count),
        count=count,
        accuracy=each.curve.accuracy[number] if count else None,
        confidence=each.curve.confidence[number] if count else None,
        ece=each.ece.mean,
        ece_se=each.ece.se,
        seeds=each.seeds,
    )
