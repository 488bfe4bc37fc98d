"""Draw the paper's Figure 5: error over occlusion, a column wide, or a panel per colour of the patch."""

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.lines import WIDTH, Place, draw_line, set_ticks, shift_of, step_of
from analysis.figures.occlusion import ErrorOverOcclusion, occlusion_data, to_csv
from analysis.figures.style import COLUMN_IN, GREY, PAGE_IN, PRINT, Drawn, legend_columns, line_style, write_caption
from analysis.results import Results

PUBLISHED = ("*", "p")  # markers, in grey


def error_over_occlusion(results: Results) -> Drawn:
    """Return the figure, of uncovered images alone as long as nothing was evaluated with covered ones."""
    data = occlusion_data(results)
    return Drawn("error-over-occlusion", to_csv(data), draw(data))


def draw(data: ErrorOverOcclusion) -> Figure:
    """Draw a line per cell, in every panel in the same colour."""
    lines = list(data.lines(data.panels[0], "runs"))
    several = len(data.panels) > 1
    with rc_context(PRINT):
        height = 2.6 + 0.14 * (len(lines) + 2)
        drawing = Figure(figsize=(PAGE_IN if several else COLUMN_IN, height), layout="constrained")
        row = drawing.subplots(1, len(data.panels), squeeze=False, sharey=True)[0]
        for axes, panel in zip(row, data.panels, strict=True):
            _draw_panel(axes, data, panel)
            axes.set_xlabel("share of every image covered (%)")
            axes.set_title({"mean": "mean colour"}.get(panel, panel) if several else "")
        row[0].set_ylabel("top-1 error (%)")
        handles, names = row[0].get_legend_handles_labels()
        columns = legend_columns(names, drawing.get_figwidth())
        drawing.legend(handles, names, loc="outside upper center", ncols=columns)
        write_caption(drawing, data.caption)
    return drawing


def _draw_panel(axes: Axes, data: ErrorOverOcclusion, panel: str) -> None:
    lines = data.lines(panel, "runs")
    xs = sorted({float(point.percent) for points in lines.values() for point in points})
    for index, (name, points) in enumerate(lines.items()):
        places = [Place(point.percent, point.error, point.error_se) for point in points]
        draw_line(axes, places, shift_of(index, len(lines), step_of(xs)), {**line_style(index), "label": name})
    for index, (name, points) in enumerate(data.lines(panel, "published").items()):
        x, y = zip(*((point.percent, point.error) for point in points if point.error is not None), strict=True)
        axes.plot(x, y, PUBLISHED[index % 2], color=GREY, markersize=6, linewidth=WIDTH, label=name)
    set_ticks(axes, xs)
