"""Optuna's drawings taken over into our style: white ground, our letters, legends beside, colours' bars of our own."""

from textwrap import fill

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import GREY, RC

CAPTION_LETTERS_PER_INCH = 14


def restyled(axes: Axes, size: tuple[float, float]) -> Figure:
    """Take a drawing of Optuna's over: white ground, our grid and letters, no title, no window of its own."""
    drawing = axes.figure
    assert isinstance(drawing, Figure)
    plt.close(drawing)
    drawing.set_layout_engine("constrained")
    drawing.set_size_inches(size)
    drawing.set_facecolor("white")
    for each in drawing.axes:
        restyle(each)
    return drawing


def restyle(axes: Axes) -> None:
    """Give axes the look of our other figures."""
    axes.set_title("")
    axes.set_title("", loc="left")
    axes.set_facecolor("white")
    axes.tick_params(colors="black", which="both", labelsize=RC["font.size"])
    axes.grid(visible=True, color=RC["grid.color"])
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color="black", size=RC["font.size"])
    for side, spine in axes.spines.items():
        spine.set(edgecolor="black", visible=side in ("left", "bottom"), linewidth=0.8)


def legend(drawing: Figure, axes: Axes) -> None:
    """Put the legend beside the axes, in place of Optuna's."""
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    drawing.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)


def with_own_bar(drawing: Figure, axes: Axes, label: str, limits: tuple[float, float] | None) -> None:
    """Replace the bar of colours by one that a constrained layout can place; `limits` None: Optuna's own."""
    (lines,) = axes.collections
    lines.set(linewidth=1.3, cmap="viridis")
    if limits is not None:
        lines.set_clim(*limits)
    old = lines.colorbar
    ticks = None if old is None else old.get_ticks()
    if old is not None:
        old.ax.remove()
    place = drawing.add_gridspec(1, 1)[0]
    for each in drawing.axes:
        each.set_subplotspec(place)
    array = lines.get_array()
    clipped = limits is not None and array is not None and float(array.max()) > limits[1]
    extend = "max" if clipped else "neither"
    bar = drawing.colorbar(lines, ax=drawing.axes, ticks=ticks if limits is None else None, extend=extend)
    bar.set_label(label, color="black", size=10)
    bar.ax.tick_params(colors="black")


def captioned(drawing: Figure, caption: str) -> Figure:
    """Write a caption below a drawing."""
    letters = round(CAPTION_LETTERS_PER_INCH * drawing.get_figwidth())
    drawing.supxlabel(fill(caption, letters), fontsize=8, color=GREY)
    return drawing
