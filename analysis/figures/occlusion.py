"""The numbers of the paper's Figure 5: top-1 error over how much of every test image is covered, from evaluations.

A line per cell; of a sweep with more than MOST_LINES cells, the last cell of every arm. With several colours of the
patch there is a panel for each. Percentages are those asked for; `area` is what a patch of whole pixels truly covers.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from analysis.cells import CellRuns, describe
from analysis.figures.style import rows_csv
from analysis.published import occluded_errors
from analysis.results import Results
from softaug.datasets import dataset

MOST_LINES = 7
FILLS = ("mean", "black", "noise")
METRIC = re.compile(r"test/occlusion_(?P<percent>[0-9]+)(_(?P<fill>black|noise))?/top1_error")


@dataclass(frozen=True)
class Point:
    """One cell at one percentage. `error`: percent, None where it was not measured of every seed."""

    panel: str  # what the patch shows: mean, black, noise
    line: str
    percent: int
    area: float
    error: float | None
    error_se: float | None
    seeds: str
    source: Literal["runs", "published"]


@dataclass(frozen=True)
class ErrorOverOcclusion:
    """Everything the figure shows."""

    panels: tuple[str, ...]
    points: tuple[Point, ...]
    caption: str

    def lines(self, panel: str, source: Literal["runs", "published"]) -> dict[str, list[Point]]:
        """Return a panel's points by line."""
        lines: dict[str, list[Point]] = {}
        for point in self.points:
            if (point.panel, point.source) == (panel, source):
                lines.setdefault(point.line, []).append(point)
        return lines


def occlusion_data(results: Results) -> ErrorOverOcclusion:
    """Return the numbers; as long as nothing was evaluated with covered images, those of the uncovered ones."""
    measured = sorted({where for run in results.runs for name in run.metrics for where in _where(name)})
    fills = [fill for fill in FILLS if any(fill == each for each, _ in measured)] or ["mean"]
    shown = shown_cells(results)
    ours = [point for fill in fills for cell in shown for point in _line(results, cell, fill, measured)]
    published = list(_published(results)) if "mean" in fills else []
    return ErrorOverOcclusion(tuple(fills), (*ours, *published), _caption(results, shown))


def to_csv(data: ErrorOverOcclusion) -> str:
    """Return the figure's numbers as CSV."""
    return rows_csv(Point, data.points)


def shown_cells(results: Results) -> list[CellRuns]:
    """Return the cells that have a line: all, or the last one of every arm."""
    if len(results.cells) <= MOST_LINES:
        return list(results.cells)
    return list({cell.cell.arm: cell for cell in results.cells}.values())


def _where(metric: str) -> Iterator[tuple[str, int]]:
    found = METRIC.fullmatch(metric)
    if found:
        yield found["fill"] or "mean", int(found["percent"])


def _line(results: Results, cell: CellRuns, fill: str, measured: list[tuple[str, int]]) -> Iterator[Point]:
    from softaug.occlusion import occluded_area  # with torch, which few reports need

    side_px = dataset(cell.cell.recipe["data"]["name"]).side_px
    for percent in (0, *(percent for each, percent in measured if each == fill)):
        suffix = "" if fill == "mean" else f"_{fill}"
        metric = f"test/occlusion_{percent}{suffix}/top1_error" if percent else "test/top1_error"
        error = cell.estimate(metric)
        yield Point(
            panel=fill,
            line=describe(cell.cell, results.sweep.axes),
            percent=percent,
            area=occluded_area(side_px, percent),
            error=error.mean if error else None,
            error_se=error.se if error else None,
            seeds=cell.seeds,
            source="runs",
        )


def _published(results: Results) -> Iterator[Point]:
    for row in occluded_errors(results.baseline.cell.recipe):
        name = f"published, {row.name}"
        yield Point("mean", name, row.percent, float(row.percent), row.error, None, "", "published")


def _caption(results: Results, shown: list[CellRuns]) -> str:
    sets = [dataset(name) for name in sorted({cell.cell.recipe["data"]["name"] for cell in shown})]
    sides = {known.side_px for known in sets}
    parts = [
        f"Top-1 error on {', '.join(known.title for known in sets)} with one square patch per test image, "
        f"mean ± 1 standard error of {len(results.sweep.seeds)} seeds, each over at least 3 places of the patches"
    ]
    if len(sides) == 1:
        parts[0] += f"; sides in whole pixels of {sides.pop()}"
    if len(shown) < len(results.cells):
        parts.append(f"Of each arm the last of its cells, {len(shown)} of {len(results.cells)}")
    lacking = [cell for cell in shown if not all(run.evaluated for run in cell.runs)]
    if len(lacking) == len(shown):
        sweep = results.sweep
        parts.append(f"Nothing was evaluated yet: run `softaug evaluate {sweep.name} --scale {sweep.scale}`")
    elif lacking:
        names = ", ".join(describe(cell.cell, results.sweep.axes) for cell in lacking)
        parts.append(f"Not evaluated with every seed: {names}")
    return ". ".join(parts) + "."
