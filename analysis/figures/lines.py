"""Lines of cells over an axis: means with their standard errors side by side, holes marked, reference lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, StrMethodFormatter

DODGE = 0.3  # of the distance between two x values: lines stand side by side, so that error bars stay apart
MOST_TICKS = 9  # more run into each other, and take longer to draw than everything else
WIDTH = 1.1
PUBLISHED_DASHES = (":", "-.", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)))  # published numbers in one panel


@dataclass(frozen=True)
class Place:
    """A cell on a line. `hole`: the seeds finished of those expected where there is no number for lack of some."""

    x: float
    value: float | None
    se: float | None
    hole: str = ""


def step_of(xs: Sequence[float]) -> float:
    """Return the least distance between values in ascending order."""
    return min((b - a for a, b in pairwise(xs)), default=0.1)


def shift_of(index: int, count: int, step: float) -> float:
    """Return how far line number `index` of `count` is moved to the side."""
    return DODGE * step * ((index + 0.5) / count - 0.5)


def draw_line(axes: Axes, places: Iterable[Place], shift: float, style: dict[str, Any]) -> None:
    """Draw a line with error bars that breaks at holes, each marked with its seeds above the panel."""
    drawn = list(places)
    for place in drawn:
        if place.hole:
            _mark_hole(axes, place.x + shift, place.hole, style["color"])
    if drawn:
        x = [place.x + shift for place in drawn]
        y = [nan if place.value is None else place.value for place in drawn]  # the line breaks at a nan
        bars = [place.se or 0.0 for place in drawn]
        axes.errorbar(x, y, bars, markersize=4, linewidth=WIDTH, elinewidth=0.9, capsize=2, **style)


def draw_band(axes: Axes, value: float | None, se: float | None, style: dict[str, Any]) -> None:
    """Draw a number that has no x as a horizontal line, with a band of ±1 standard error."""
    if value is None:
        return
    axes.axhline(value, linewidth=WIDTH, zorder=1.5, **style)
    if se is not None:
        axes.axhspan(value - se, value + se, color=style["color"], alpha=0.15, linewidth=0)


def set_ticks(axes: Axes, xs: Sequence[float]) -> None:
    """Put ticks at x values, in ascending order: at each, or evenly at as many as fit; and room for lines beside."""
    step = step_of(xs)
    axes.xaxis.set_major_locator(FixedLocator(xs[:: ceil(len(xs) / MOST_TICKS)]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xlim(xs[0] - step / 2, xs[-1] + step / 2)


def _mark_hole(axes: Axes, x: float, seeds: str, colour: str) -> None:
    above = axes.get_xaxis_transform()  # x as the data, y 0..1 over the axes
    axes.text(x, 1.01, seeds, transform=above, color=colour, fontsize=6, rotation=90, ha="center", va="bottom")
