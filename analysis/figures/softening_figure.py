"""Draw the numbers of the paper's Figure 3: error reduction and calibration error over the crop strength."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.figure_data import FigureData, Point, figure_data, to_csv
from analysis.figures.lines import PUBLISHED_DASHES, Place, draw_band, draw_line, set_ticks, shift_of, step_of
from analysis.figures.style import GREY, PAGE_IN, PRINT, Drawn, legend_columns, line_style, write_caption
from analysis.results import Results

Quantity = Literal["reduction", "ece"]

Y_LABEL: Mapping[Quantity, str] = {
    "reduction": "top-1 error reduction\nover baseline (points)",
    "ece": "expected calibration\nerror (%)",
}


def softening_over_sigma(results: Results) -> Drawn:
    """Return the figure of a sweep that declares it."""
    data = figure_data(results)
    return Drawn("softening-over-sigma", to_csv(data), draw(data))


def draw(data: FigureData) -> Figure:
    """Draw reductions and, beside or below them, calibration errors; one panel or one per arm."""
    with rc_context(PRINT):
        if len(data.panels) == 1:
            drawing = Figure(figsize=(PAGE_IN, 3.2), layout="constrained")
            columns = [list(drawing.subplots(1, 2, sharex=True))]
        else:
            drawing = Figure(figsize=(PAGE_IN, 4.9), layout="constrained")
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
    lines = data.lines(panel)
    ours = {name: points for name, points in lines.items() if points[0].source == "runs"}
    baseline = {"color": GREY, "linestyle": "--", "label": data.baseline.line}
    draw_band(axes, *_value(data.baseline, quantity), baseline)
    for index, (name, points) in enumerate(ours.items()):
        style = {**line_style(index), "label": name}
        for point in points:
            if point.x is None:
                draw_band(axes, *_value(point, quantity), {"color": style["color"], "label": name})
        draw_line(axes, _places(points, quantity), shift_of(index, len(ours), step_of(xs)), style)
    published = [points[0] for points in lines.values() if points[0].source == "published"]
    for index, point in enumerate(published):
        dashes = PUBLISHED_DASHES[index % len(PUBLISHED_DASHES)]
        draw_band(axes, *_value(point, quantity), {"color": GREY, "linestyle": dashes, "label": point.line})
    if xs:
        set_ticks(axes, xs)


def _places(points: Sequence[Point], quantity: Quantity) -> list[Place]:
    return [
        Place(point.x, *_value(point, quantity), hole=point.seeds if point.is_hole else "")
        for point in points
        if point.x is not None
    ]


def _value(point: Point, quantity: Quantity) -> tuple[float | None, float | None]:
    return (point.reduction, point.reduction_se) if quantity == "reduction" else (point.ece, point.ece_se)


def _label(drawing: Figure, columns: Sequence[Sequence[Axes]], data: FigureData) -> None:
    one = len(columns) == 1
    pad = 18 if any(point.is_hole for point in data.points) else 4  # points; room for the marks of holes
    for column, panel in zip(columns, data.panels, strict=True):
        column[0].set_title(panel, pad=pad)
        for axes, quantity in zip(column, Y_LABEL, strict=True):
            if one or column is columns[0]:
                axes.set_ylabel(Y_LABEL[quantity])
            if one or axes is column[-1]:
                axes.set_xlabel(f"crop strength {data.x_label}")
        handles, names = column[0].get_legend_handles_labels()
        legend: dict[str, Any] = {"loc": "outside upper center", "ncols": legend_columns(names, PAGE_IN)}
        if one:
            drawing.legend(handles, names, **legend)
        else:
            column[-1].legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.24), fontsize=6)
    write_caption(drawing, data.caption)
