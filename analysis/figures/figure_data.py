"""The numbers of a figure, apart from its drawing: results -> FigureData -> CSV.

The figure is the paper's Figure 3: error reduction over the crop strength sigma. Arms with several lines (one per k or
alpha, `figure.lines`) have a panel each; an arm without lines of its own shares the panel of the next arm that has
them, so the hard Gaussian crop is the alpha = 0 of label smoothing's panel. If no arm has several lines, all share one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from analysis.cells import CellRuns, axis_text
from analysis.figures.style import rows_csv
from analysis.published import figure_3, is_figure_3_setting
from analysis.results import Results
from analysis.tables.sweep_table import estimate_text
from sweeps.resolved import Cell, Figure, ResolvedSweep

EVERY_PANEL = "every panel"


@dataclass(frozen=True)
class Point:
    """One cell in the figure. `x` is None where the arm has no x axis: a horizontal band.

    `reduction`: baseline minus cell, points of top-1 error, paired by seed; `ece`: percent. Both are None for a hole.
    """

    panel: str
    line: str
    x: float | None
    reduction: float | None
    reduction_se: float | None
    ece: float | None
    ece_se: float | None
    seeds: str  # finished of expected, "2/3"
    source: Literal["runs", "published"]

    @property
    def is_hole(self) -> bool:
        return self.ece is None and self.source == "runs"


@dataclass(frozen=True)
class FigureData:
    """Everything the figure shows. `baseline` is drawn in every panel."""

    x_label: str
    panels: tuple[str, ...]
    baseline: Point
    points: tuple[Point, ...]
    caption: str

    def lines(self, panel: str) -> dict[str, list[Point]]:
        """Return a panel's points by line, in the sweep's order."""
        lines: dict[str, list[Point]] = {}
        for point in self.points:
            if point.panel == panel:
                lines.setdefault(point.line, []).append(point)
        return lines


def figure_data(results: Results) -> FigureData:
    """Return the numbers of the sweep's figure, or raise ValueError if it declares none."""
    sweep = results.sweep
    figure = declared_figure(sweep)
    panel_of = _panels(sweep, figure)
    points = [_point(results, cell, figure, panel_of) for cell in results.cells if cell is not results.baseline]
    return FigureData(
        x_label=sweep.axes[x_axis(figure)].label,
        panels=tuple(dict.fromkeys(panel_of.values())),
        baseline=_baseline(results),
        points=(*points, *_published(results, panel_of)),
        caption=_caption(results),
    )


def declared_figure(sweep: ResolvedSweep) -> Figure:
    """Return the figure that the sweep file declares, or raise ValueError."""
    if sweep.figure is None:
        raise ValueError(f"sweep {sweep.name!r} declares no figure: add `figure:` to its file and launch it again")
    return sweep.figure


def x_axis(figure: Figure) -> str:
    """Return the axis that the figure is drawn over. Raises ValueError if it names none."""
    if figure.x is None:
        raise ValueError(f"a figure of the kind {figure.kind} needs an axis: add `x:` to it and launch the sweep again")
    return figure.x


def to_csv(data: FigureData) -> str:
    """Return the figure's numbers as CSV, baseline first."""
    return rows_csv(Point, (data.baseline, *data.points))


def line_name(cell: Cell, sweep: ResolvedSweep, figure: Figure) -> str:
    """Return "k = 2" for a cell on one of its arm's lines, "" for an arm that is one line."""
    undrawn = set(cell.axes) - {figure.x, figure.lines.get(cell.arm)}
    if undrawn:
        raise ValueError(
            f"arm {cell.arm!r} runs over {', '.join(sorted(undrawn))}, which the figure does not show: "
            "name the axis in figure.lines or drop it"
        )
    return ", ".join(axis_text(sweep.axes, name, value) for name, value in cell.axes.items() if name != figure.x)


def _panels(sweep: ResolvedSweep, figure: Figure) -> dict[str, str]:
    """Return the panel of every arm but the baseline; "" is the panel that all share."""
    lines: dict[str, set[str]] = {}
    for cell in sweep.cells:
        if cell.arm != sweep.baseline:
            lines.setdefault(cell.arm, set()).add(line_name(cell, sweep, figure))
    several = [arm for arm in lines if len(lines[arm]) > 1]
    if not several:
        return dict.fromkeys(lines, "")
    arms = list(lines)
    return {arm: _first(arms[arms.index(arm) :], several) or several[-1] for arm in arms}


def _first(arms: list[str], wanted: list[str]) -> str | None:
    return next((arm for arm in arms if arm in wanted), None)


def _point(results: Results, cell: CellRuns, figure: Figure, panel_of: dict[str, str]) -> Point:
    arm, line = cell.cell.arm, line_name(cell.cell, results.sweep, figure)
    panel = panel_of[arm]
    comparison = results.comparisons.get(cell.cell.cell_key)
    ece = cell.estimate("test/ece")
    x = cell.cell.axes.get(x_axis(figure))
    return Point(
        panel=panel,
        line=line if line and panel == arm else ", ".join(filter(None, (arm, line))),
        x=None if x is None else float(x),
        reduction=comparison.reduction.mean if comparison else None,
        reduction_se=comparison.reduction.se if comparison else None,
        ece=ece.mean if ece else None,
        ece_se=ece.se if ece else None,
        seeds=cell.seeds,
        source="runs",
    )


def _baseline(results: Results) -> Point:
    ece = results.baseline.estimate("test/ece")
    return Point(
        panel=EVERY_PANEL,
        line=results.sweep.baseline,
        x=None,
        reduction=None if results.baseline.problems else 0.0,
        reduction_se=None,
        ece=ece.mean if ece else None,
        ece_se=ece.se if ece else None,
        seeds=results.baseline.seeds,
        source="runs",
    )


def _published(results: Results, panel_of: dict[str, str]) -> Iterator[Point]:
    if not is_figure_3_setting(results.baseline.cell.recipe):
        return
    for row in figure_3():
        if row.arm in panel_of:
            line = f"published, {row.arm}: ≈ {row.points:g}"
            yield Point(panel_of[row.arm], line, None, row.points, None, None, None, "", "published")


def _caption(results: Results) -> str:
    sweep, error = results.sweep, results.baseline.estimate("test/top1_error")
    seeds = f"n = {len(sweep.seeds)} seed{'s' if len(sweep.seeds) > 1 else ''} ({', '.join(map(str, sweep.seeds))})"
    holes = [cell for cell in results.cells if cell.problems]
    parts = [f"{seeds} per point. Bars: ±1 standard error; on the reduction, of the difference paired by seed"]
    if error is None:
        parts.append(f"The baseline, {sweep.baseline}, is a hole ({results.baseline.seeds}): no reductions")
    else:
        number = f"{estimate_text(error)} %".replace(" ", "\N{NO-BREAK SPACE}")  # its parts stay in one line
        parts.append(f"Baseline, {sweep.baseline}: {number} top-1 error")
    if holes:
        parts.append(f"{len(holes)} of {len(results.cells)} cells are holes, marked with their finished seeds")
    return ". ".join(parts) + "."
