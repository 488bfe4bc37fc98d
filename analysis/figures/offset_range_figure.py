"""Draw the paper's Figure 1: a panel per kind of crop, all with one scale of errors."""

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.lines import PUBLISHED_DASHES, Place, draw_band, draw_line, set_ticks, shift_of, step_of
from analysis.figures.offset_range import OffsetRange, offset_range_data, to_csv
from analysis.figures.style import GREY, PAGE_IN, PRINT, Drawn, legend_columns, line_style, write_caption
from analysis.results import Results


def offset_range(results: Results) -> Drawn:
    """Return the figure of a sweep that declares it."""
    data = offset_range_data(results)
    return Drawn("offset-range", to_csv(data), draw(data))


def draw(data: OffsetRange) -> Figure:
    """Draw the errors of every kind of crop; a line has the same colour in every panel."""
    ours = dict.fromkeys(point.line for point in data.points if point.source == "runs")
    styles = {name: line_style(index) for index, name in enumerate(ours)}
    with rc_context(PRINT):
        drawing = Figure(figsize=(PAGE_IN, 3.3), layout="constrained")
        row = drawing.subplots(1, len(data.panels), squeeze=False, sharey=True)[0]
        for axes, (panel, label) in zip(row, data.panels.items(), strict=True):
            _draw_panel(axes, data, panel, styles)
            axes.set_xlabel(label)
        row[0].set_ylabel("top-1 error (%)")
        handles = {name: handle for axes in row for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
        drawing.legend(
            list(handles.values()), list(handles), loc="outside upper center", ncols=legend_columns(handles, PAGE_IN)
        )
        write_caption(drawing, data.caption)
    return drawing


def _draw_panel(axes: Axes, data: OffsetRange, panel: str, styles: dict[str, dict[str, object]]) -> None:
    lines = data.lines(panel)
    xs = sorted({point.x for points in lines.values() for point in points if point.x is not None})
    over = [name for name, points in lines.items() if points[0].x is not None]
    published = [name for name, points in lines.items() if points[0].source == "published"]
    for name, points in lines.items():
        if name in published:
            dashes = PUBLISHED_DASHES[published.index(name) % len(PUBLISHED_DASHES)]
            draw_band(axes, points[0].error, None, {"color": GREY, "linestyle": dashes, "label": name})
            continue
        if points[0].x is None:
            band = {"color": styles[name]["color"], "linestyle": "--", "label": name}
            draw_band(axes, points[0].error, points[0].error_se, band)
        places = [Place(point.x, point.error, point.error_se, point.hole) for point in points if point.x is not None]
        shift = shift_of(over.index(name), len(over), step_of(xs)) if name in over else 0.0
        draw_line(axes, places, shift, {**styles[name], "label": name})
    if xs:
        set_ticks(axes, xs)
