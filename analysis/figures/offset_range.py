"""The numbers of the paper's Figure 1: top-1 error over how far crops reach, hard and soft, uniform and Gaussian.

Arms that run over the same axis share a panel: the radius of uniform crops in pixels, sigma of Gaussian ones. An arm
without an axis of its own, as the baseline, is a line across every panel; the baseline also is a point where it has a
place on the axis. What the paper's text says is added where data, network and epochs are the paper's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from analysis.cells import CellRuns, axis_text
from analysis.figures.figure_data import EVERY_PANEL, declared_figure
from analysis.figures.style import rows_csv
from analysis.published import crop_errors, is_figure_3_setting
from analysis.results import Results
from analysis.tables.sweep_table import estimate_text
from sweeps.resolved import Figure


@dataclass(frozen=True)
class Point:
    """One cell, or one published number. `x` is None for a line across the panel; `error`, percent, for a hole."""

    panel: str  # the axis
    line: str
    x: float | None
    error: float | None
    error_se: float | None
    seeds: str  # finished of expected, "2/3"
    source: Literal["runs", "published"]

    @property
    def hole(self) -> str:
        """Seeds of a cell that is a hole."""
        return self.seeds if self.error is None else ""


@dataclass(frozen=True)
class OffsetRange:
    """Everything the figure shows. `panels`: axis -> label."""

    panels: dict[str, str]
    points: tuple[Point, ...]
    caption: str

    def lines(self, panel: str) -> dict[str, list[Point]]:
        """Return a panel's points by line, those without an axis first."""
        lines: dict[str, list[Point]] = {}
        for place in (EVERY_PANEL, panel):
            for point in self.points:
                if point.panel == place:
                    lines.setdefault(point.line, []).append(point)
        return lines


def offset_range_data(results: Results) -> OffsetRange:
    """Return the numbers. Raises ValueError for an arm that runs over two axes besides that of its lines."""
    figure, sweep = declared_figure(results.sweep), results.sweep
    axes = dict.fromkeys(axis for cell in results.cells if (axis := _axis(cell, figure)) is not None)
    points = [_point(results, cell, figure) for cell in results.cells]
    points += [replace(points[0], panel=axis, x=x) for axis, x in _baseline_on(results, list(axes))]
    return OffsetRange(
        panels={axis: sweep.axes[axis].label for axis in axes} or {EVERY_PANEL: ""},
        points=(*points, *_published(results, {sweep.axes[axis].field: axis for axis in axes})),
        caption=_caption(results),
    )


def to_csv(data: OffsetRange) -> str:
    """Return the figure's numbers as CSV."""
    return rows_csv(Point, data.points)


def _axis(cell: CellRuns, figure: Figure) -> str | None:
    axes = [axis for axis in cell.cell.axes if axis != figure.lines.get(cell.cell.arm)]
    if len(axes) > 1:
        raise ValueError(
            f"arm {cell.cell.arm!r} runs over {', '.join(axes)}; the figure shows one of them: "
            "name the other in figure.lines or drop it"
        )
    return axes[0] if axes else None


def _point(results: Results, cell: CellRuns, figure: Figure) -> Point:
    arm, axis, error = cell.cell.arm, _axis(cell, figure), cell.estimate("test/top1_error")
    line = figure.lines.get(arm)
    beside = [axis_text(results.sweep.axes, line, cell.cell.axes[line])] if line in cell.cell.axes else []
    return Point(
        panel=EVERY_PANEL if axis is None else axis,
        line=", ".join([arm, *beside]),
        x=None if axis is None else float(cell.cell.axes[axis]),
        error=error.mean if error else None,
        error_se=error.se if error else None,
        seeds=cell.seeds,
        source="runs",
    )


def _baseline_on(results: Results, axes: list[str]) -> Iterator[tuple[str, float]]:
    """Yield the axes on which the baseline has a place, and where: a radius if it is a uniform crop, too."""
    for axis in axes:
        part, _, name = results.sweep.axes[axis].field.partition(".")
        value = (results.baseline.cell.recipe.get(part) or {}).get(name)
        if isinstance(value, int | float):
            yield axis, float(value)


def _published(results: Results, axis_of: dict[str, str]) -> Iterator[Point]:
    if is_figure_3_setting(results.baseline.cell.recipe):
        for row in crop_errors():
            if row.field in axis_of:
                name = f"published, {row.name}: {row.error:.4g} %"
                yield Point(axis_of[row.field], name, None, row.error, None, "", "published")


def _caption(results: Results) -> str:
    sweep, error = results.sweep, results.baseline.estimate("test/top1_error")
    parts = [f"Top-1 error on the test set, mean ± 1 standard error of {len(sweep.seeds)} seeds"]
    if error is not None:
        parts.append(f"Baseline, {sweep.baseline}: {estimate_text(error)} %")
    holes = [cell for cell in results.cells if cell.problems]
    if holes:
        parts.append(f"{len(holes)} of {len(results.cells)} cells are holes, marked with their finished seeds")
    return ". ".join(parts) + "."
