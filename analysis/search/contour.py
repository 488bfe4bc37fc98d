"""Optuna's contour plot as the half that says everything once, on one scale of colours, with cells marked on it.

Optuna draws every pair of parameters twice, each on a colour scale of its own beside one bar for all.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import optuna
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from optuna.visualization import matplotlib as plots

from analysis.figures.style import GREY
from analysis.search.data import colour_limits, most_important, target, winners_name
from sweeps.search.history import History
from sweeps.search.search import Value, Values

MOST_PARAMETERS = 6
LEAST_POINTS = 3  # of a pair of parameters, to draw anything between them
PANEL_IN = 2.5
COLOURS = "viridis"
POINT: dict[str, Any] = {"sizes": [16], "facecolors": "white", "edgecolors": "black", "linewidths": 0.9}


def draw_contour(
    history: History,
    made: optuna.Study,
    objective: int,
    label: str,
    labels: Mapping[str, str],
    *,
    arm_style: dict[str, Any],
    winner_style: dict[str, Any],
) -> Figure:
    """Draw every pair of the parameters that varied once: a panel for each, or one alone if there are two."""
    names = sorted(most_important(history, objective, MOST_PARAMETERS))  # in Optuna's order
    drawn = plots.plot_contour(made, params=names, target=target(history, objective), target_name=label)
    grid = np.array([[None, None], [drawn, None]]) if isinstance(drawn, Axes) else np.asarray(drawn)
    drawing = _figure(grid)
    for axes in [each for each in drawing.axes if each not in set(_panels(grid))]:
        axes.remove()
    side = len(names) - 1
    kinds = {parameter.name: parameter.kind for parameter in history.search.parameters}
    _lay_out(drawing, grid, side)
    norm = Normalize(*colour_limits(history, objective))
    for row, column in _pairs(len(names)):
        axes, x, y = grid[row, column], names[column], names[row]
        _restyle(axes, norm)
        axes.set_xlabel(labels[x] if row == side else "")
        axes.set_ylabel(labels[y] if column == 0 else "")
        axes.tick_params(labelbottom=row == side, labelleft=column == 0)
        if kinds[x] == "choice":
            axes.tick_params(axis="x", labelrotation=90)
        if why := _nothing_between(history, x, y, labels):
            _empty(axes, why)
            continue
        at = _Places(history, x, y)
        for values in history.arms.values():
            at.mark(axes, values, {**arm_style, "zorder": 5})
        for winner in history.winners:
            at.mark(axes, winner.asked.ask.values, {**winner_style, "zorder": 4})
    _explain(drawing, grid, norm, label, history, objective, arm_style=arm_style, winner_style=winner_style)
    return drawing


def _panels(grid: Any) -> Iterator[Axes]:
    """Yield the panels below the diagonal, row by row."""
    return (grid[row, column] for row, column in _pairs(len(grid)))


def _pairs(parameters: int) -> Iterator[tuple[int, int]]:
    """Yield row and column below the diagonal."""
    return ((row, column) for column, row in combinations(range(parameters), 2))


def _figure(grid: Any) -> Figure:
    drawing = next(_panels(grid)).figure
    assert isinstance(drawing, Figure)
    plt.close(drawing)
    return drawing


def _lay_out(drawing: Figure, grid: Any, side: int) -> None:
    """Place the panels in a grid of their own; above the diagonal there is room for what explains them."""
    drawing.suptitle("")
    drawing.set_layout_engine("constrained")
    drawing.set_facecolor("white")
    wide = max(side, 2)
    places = drawing.add_gridspec(side, wide, width_ratios=[2, 1] if side == 1 else None)
    drawing.set_size_inches(7.5 if side == 1 else PANEL_IN * wide + 1, 4.6 if side == 1 else PANEL_IN * side + 0.9)
    for row, column in _pairs(len(grid)):
        grid[row, column].set_subplotspec(places[row - 1, column])


def _restyle(axes: Axes, norm: Normalize) -> None:
    axes.set_facecolor("white")
    axes.grid(visible=False)
    axes.tick_params(colors="black", which="both", labelsize=9)
    for spine in axes.spines.values():
        spine.set(edgecolor="black", visible=True, linewidth=0.8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color="black", size=11)
    for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
        if scale == "log":
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
            axis.set_minor_formatter(NullFormatter())
        elif not any(text.get_text() for text in axis.get_ticklabels()) or _is_number(axis):
            axis.set_major_locator(MaxNLocator(4))
    for each in axes.collections:
        if isinstance(each, ContourSet):
            if each.filled:
                each.set(cmap=COLOURS, norm=norm)
            else:
                each.set(linewidths=0.3, alpha=0.5)
        else:
            each.set(**POINT)


def _is_number(axis: Any) -> bool:
    """Say whether ticks are numbers of an axis, and not the names of choices, which are fixed."""
    return type(axis.get_major_locator()).__name__ != "FixedLocator"


def _empty(axes: Axes, why: str) -> None:
    for each in list(axes.collections):
        each.remove()
    middle: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.5, why, fontsize=9, color=GREY, **middle)


class _Places:
    """Where a cell's values are in the panel of two parameters, as Optuna places them."""

    def __init__(self, history: History, x: str, y: str) -> None:
        self.names = (x, y)
        kinds = {parameter.name: parameter.kind for parameter in history.search.parameters}
        self.choices: list[list[str] | None] = [
            sorted({str(each.ask.values[name]) for each in history.complete if name in each.ask.values})
            if kinds[name] == "choice"
            else None
            for name in self.names
        ]

    def mark(self, axes: Axes, values: Values, style: dict[str, Any]) -> None:
        """Mark the values if both are there; limits move so that the mark is not cut."""
        x, y = (self._at(number, values.get(name)) for number, name in enumerate(self.names))
        if x is None or y is None:
            return
        _widen(axes, x, y)
        axes.scatter([x], [y], clip_on=False, **style)

    def _at(self, number: int, value: Value | None) -> float | None:
        choices = self.choices[number]
        if choices is None or value is None:
            return None if value is None else float(value)
        return float(choices.index(str(value))) if str(value) in choices else None


def _widen(axes: Axes, x: float, y: float) -> None:
    for value, limits, set_limits in ((x, axes.get_xlim(), axes.set_xlim), (y, axes.get_ylim(), axes.set_ylim)):
        set_limits(min(limits[0], value), max(limits[1], value))


def _nothing_between(history: History, x: str, y: str, labels: Mapping[str, str]) -> str:
    """Return why nothing can be drawn between two parameters, nothing if something can."""
    both = {(values[x], values[y]) for each in history.complete if {x, y} <= (values := each.ask.values).keys()}
    if len(both) < LEAST_POINTS:
        return f"fewer than {LEAST_POINTS} cells\nhave both"
    for number, (one, other) in enumerate(((x, y), (y, x))):
        if len({pair[number] for pair in both}) == 1:
            return f"{labels[one]} is {next(iter(both))[number]}\nwhere there is\n{labels[other]}"
    return ""


def _explain(
    drawing: Figure,
    grid: Any,
    norm: Normalize,
    label: str,
    history: History,
    objective: int,
    *,
    arm_style: dict[str, Any],
    winner_style: dict[str, Any],
) -> None:
    """Put the colours' bar and the marks' legend where Optuna has the pairs a second time."""
    clipped = max(each.means[objective] for each in history.complete) > (norm.vmax or 0)
    mappable = ScalarMappable(norm=norm, cmap=COLOURS)
    bar = drawing.colorbar(mappable, ax=list(_panels(grid)), extend="max" if clipped else "neither", aspect=35)
    bar.set_label(label, color="black", size=10)
    bar.ax.tick_params(colors="black")
    dot: dict[str, Any] = {"linestyle": "none", "color": "white", "markeredgecolor": "black"}
    handles = [Line2D([], [], marker="o", markersize=4.5, label="a complete cell", **dot)]
    star: dict[str, Any] = {"linestyle": "none", "color": arm_style["color"], "markeredgecolor": "white"}
    handles += [Line2D([], [], marker="*", markersize=14, label=arm, **star) for arm in history.arms]
    ring: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "none", "markeredgewidth": 1.8}
    if history.winners:
        colour = winner_style["edgecolors"]
        handles.append(
            Line2D([], [], marker="o", markersize=10, label=winners_name(history), markeredgecolor=colour, **ring)
        )
    drawing.legend(handles=handles, loc="upper right", frameon=False, bbox_to_anchor=(0.86, 0.98), fontsize=10)
