"""Draw FigureData and write it as CSV, SVG, PDF and PNG. No number is computed here."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, nan
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, StrMethodFormatter
from mlflow import MlflowClient

from analysis.figure_data import FigureData, Point, declared_figure, figure_data, to_csv
from analysis.results import Results, read_results
from analysis.style import GREY, RC, line_style, save
from sweeps.resolved import ResolvedSweep

Quantity = Literal["reduction", "ece"]

Y_LABEL: Mapping[Quantity, str] = {
    "reduction": "top-1 error reduction\nover baseline (points)",
    "ece": "expected calibration error (%)",
}
MOST_TICKS = 9  # on an x axis: more numbers run into each other, and take longer to draw than everything else
DODGE = 0.3  # of the distance between two x values: lines stand side by side, so that error bars stay apart
CAPTION_LETTERS_PER_INCH = 14
DASHES = (":", "-.", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)))  # published numbers in one panel


def figure(sweep: ResolvedSweep, *, tracking_uri: str, out: Path) -> list[Path]:
    """Write the sweep's figure into `out`/<sweep>@<scale> as CSV, SVG, PDF and PNG, and return the files."""
    return write_figure(read_results(sweep, MlflowClient(tracking_uri)), out / sweep.experiment)


def write_figure(results: Results, out: Path) -> list[Path]:
    """Write the figure that the sweep declares, named by its kind, into the folder `out`."""
    name = declared_figure(results.sweep).kind
    data = figure_data(results)
    out.mkdir(parents=True, exist_ok=True)
    table = out / f"{name}.csv"
    table.write_text(to_csv(data), encoding="utf-8")
    return [table, *save(draw(data), out / name)]


def draw(data: FigureData) -> Figure:
    """Draw reductions and, beside or below them, calibration errors; one panel or one per arm."""
    with rc_context(RC):
        if len(data.panels) == 1:
            drawing = Figure(figsize=(10.5, 4.2), layout="constrained")
            columns = [list(drawing.subplots(1, 2, sharex=True))]
        else:
            drawing = Figure(figsize=(3.3 * len(data.panels), 7.4), layout="constrained")
            columns = [list(column) for column in drawing.subplots(2, len(data.panels), sharex=True, sharey="row").T]
        for column, panel in zip(columns, data.panels, strict=True):
            for axes, quantity in zip(column, Y_LABEL, strict=True):
                _draw_panel(axes, data, panel, quantity)
        for column in columns:
            column[-1].set_ylim(bottom=0)  # once all are drawn: it freezes the top of the whole row
        _label(drawing, columns, data)
    return drawing


def _draw_panel(axes: Axes, data: FigureData, panel: str, quantity: Quantity) -> None:
    xs = sorted({point.x for point in data.points if point.x is not None})
    step = min((b - a for a, b in pairwise(xs)), default=0.1)
    lines = data.lines(panel)
    ours = {name: points for name, points in lines.items() if points[0].source == "runs"}
    _draw_band(axes, data.baseline, quantity, {"color": GREY, "linestyle": "--", "label": data.baseline.line})
    for index, (name, points) in enumerate(ours.items()):
        shift = DODGE * step * ((index + 0.5) / len(ours) - 0.5)
        _draw_line(axes, points, quantity, shift, {**line_style(index), "label": name})
    published = [points[0] for points in lines.values() if points[0].source == "published"]
    for index, point in enumerate(published):
        dashes = DASHES[index % len(DASHES)]
        _draw_band(axes, point, quantity, {"color": GREY, "linestyle": dashes, "label": point.line})
    if xs:
        axes.xaxis.set_major_locator(FixedLocator(xs[:: ceil(len(xs) / MOST_TICKS)]))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.set_xlim(xs[0] - step / 2, xs[-1] + step / 2)


def _draw_line(axes: Axes, points: list[Point], quantity: Quantity, shift: float, style: dict[str, Any]) -> None:
    placed: list[tuple[float, float, float]] = []
    for point in points:
        value, se = _value(point, quantity)
        if point.x is None:
            _draw_band(axes, point, quantity, {"color": style["color"], "label": style["label"]})
        else:
            placed.append((point.x + shift, nan if value is None else value, se or 0.0))  # the line breaks at a nan
            if point.is_hole:
                _mark_hole(axes, point.x + shift, point.seeds, style["color"])
    if placed:
        x, y, bars = zip(*placed, strict=True)
        axes.errorbar(x, y, bars, markersize=5.5, linewidth=1.4, elinewidth=1.2, capsize=2.5, **style)


def _mark_hole(axes: Axes, x: float, seeds: str, colour: str) -> None:
    above = axes.get_xaxis_transform()  # x as the data, y 0..1 over the axes
    axes.text(x, 1.01, seeds, transform=above, color=colour, fontsize=8, rotation=90, ha="center", va="bottom")


def _draw_band(axes: Axes, point: Point, quantity: Quantity, style: dict[str, Any]) -> None:
    value, se = _value(point, quantity)
    if value is None:
        return
    axes.axhline(value, linewidth=1.4, zorder=1.5, **style)
    if se is not None:
        axes.axhspan(value - se, value + se, color=style["color"], alpha=0.15, linewidth=0)


def _value(point: Point, quantity: Quantity) -> tuple[float | None, float | None]:
    return (point.reduction, point.reduction_se) if quantity == "reduction" else (point.ece, point.ece_se)


def _label(drawing: Figure, columns: Sequence[Sequence[Axes]], data: FigureData) -> None:
    one = len(columns) == 1
    pad = 22 if any(point.is_hole for point in data.points) else 6  # points; room for the marks of holes
    for column, panel in zip(columns, data.panels, strict=True):
        column[0].set_title(panel, fontsize=11, pad=pad)
        for axes, quantity in zip(column, Y_LABEL, strict=True):
            if one or column is columns[0]:
                axes.set_ylabel(Y_LABEL[quantity])
            if one or axes is column[-1]:
                axes.set_xlabel(f"crop strength {data.x_label}")
        handles, names = column[0].get_legend_handles_labels()
        if one:
            drawing.legend(handles, names, loc="outside right upper")
        else:
            column[-1].legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=9)
    letters = round(CAPTION_LETTERS_PER_INCH * drawing.get_figwidth())
    drawing.supxlabel(fill(data.caption, letters), fontsize=8, color=GREY)
