"""Figures of a search: Optuna's own plots of the study rebuilt from the ledger, in our style, with cells marked.

Marked are the sweep's own cells that the search might have asked for (the paper's setting among them), and the winners.
The sweep's cells are tested, not validated, so they have no value here: a contour shows where they lie; on a Pareto
front an ask with the same values is marked, if there is one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import optuna
from matplotlib import pyplot as plt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from optuna.visualization import matplotlib as plots

from analysis.search_contour import MOST_PARAMETERS, draw_contour
from analysis.search_data import (
    LEAST_CELLS,
    OBJECTIVES,
    STEADY_CELLS,
    arms_at,
    asks_csv,
    colour_limits,
    counts_text,
    importances,
    importances_csv,
    measure,
    most_important,
    target,
    varied,
    winners_name,
    with_unit,
)
from analysis.style import COLOURS, GREY, RC, UNDATED, save
from sweeps.search_export import quiet_optuna, study
from sweeps.search_history import History

CAPTION_LETTERS_PER_INCH = 14
ARM: dict[str, Any] = {"marker": "*", "s": 190, "color": COLOURS[1], "edgecolors": "white", "linewidths": 0.8}
WINNER: dict[str, Any] = {"marker": "o", "s": 110, "facecolors": "none", "edgecolors": COLOURS[3], "linewidths": 2.2}
MOST_COLUMNS = 8  # of parallel coordinates


@dataclass(frozen=True)
class SearchFigure:
    """One figure of a search. `drawing` is None if there is none: then `caption` says why."""

    name: str
    title: str
    drawing: Figure | None
    caption: str


def write_search_figures(history: History, out: Path) -> tuple[list[SearchFigure], list[Path]]:
    """Write the figures into the folder `out` as SVG, PDF and PNG with their numbers as CSV; return both.

    Files of figures that an earlier drawing left there, and that there are no more, are deleted.
    """
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("search*"):
        if old.suffix[1:] in (*UNDATED, "csv"):
            old.unlink()
    written = []
    for name, content in (("search.csv", asks_csv(history)), ("search-importance.csv", importances_csv(history))):
        if content:
            (out / name).write_text(content, encoding="utf-8")
            written.append(out / name)
    found = search_figures(history)
    for each in found:
        if each.drawing is not None:
            written += save(each.drawing, out / each.name)
    return found, written


def search_figures(history: History) -> list[SearchFigure]:
    """Return all figures of a search, objective by objective."""
    found: list[SearchFigure] = []
    several = len(history.search.minimize) > 1
    with _drawing():
        made = study(history)
        if several:
            found.append(_pareto(history, made))
        for number, name in enumerate(history.search.minimize):
            suffix = f"-{measure(name)}" if several else ""
            found += [each(history, made, number, suffix) for each in (_history, _importance, _contour)]
        found.append(_parallel(history, made))
    return found


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw off screen, in our style, and without Optuna's notes that its plots may change."""
    matplotlib.use("agg")
    with rc_context(RC), quiet_optuna():
        yield


def _history(history: History, made: optuna.Study, objective: int, suffix: str) -> SearchFigure:
    name, title = f"search-history{suffix}", f"History: {OBJECTIVES[_measure(history, objective)][0]}"
    if not history.complete:
        return SearchFigure(name, title, None, _too_few(history, 1))
    axes = plots.plot_optimization_history(
        made, target=target(history, objective), target_name=_label(history, objective)
    )
    drawing = _restyled(axes, (8.5, 4.6))
    for line in axes.get_lines() or axes.plot(*_best_so_far(history, objective)):  # Optuna draws it for one objective
        line.set(color=COLOURS[1], alpha=1, linewidth=1.4, drawstyle="steps-post", label="best so far")
    _named(axes, {_label(history, objective): "a complete cell"})
    for state, marker in (("pruned", "|"), ("failed", "x"), ("open", ".")):
        at = [each.number for each in history.asked if each.state == state]
        if at:
            style: dict[str, Any] = {"color": GREY, "linestyle": "none", "markersize": 7}
            axes.plot(at, [0.02] * len(at), transform=axes.get_xaxis_transform(), marker=marker, label=state, **style)
    winners = [each.asked for each in history.winners]
    if winners:
        at = [each.number for each in winners]
        axes.scatter(at, [each.means[objective] for each in winners], label=winners_name(history), zorder=3, **WINNER)
    axes.set_xlabel("cell, in the order of asking")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(drawing, axes)
    best = min(each.means[objective] for each in history.complete)
    caption = (
        f"{_cells(history)}. {_seeds(history)}. Least: {_number(history, objective, best)}; the least of "
        f"{len(history.complete)} flatters."
    )
    return _captioned(SearchFigure(name, title, drawing, caption))


def _importance(history: History, made: optuna.Study, objective: int, suffix: str) -> SearchFigure:
    name, title = f"search-importance{suffix}", f"Importance for {OBJECTIVES[_measure(history, objective)][0]}"
    if why := _why_not(history, LEAST_CELLS, parameters=1):
        return SearchFigure(name, title, None, why)
    if not importances(history, objective):
        return SearchFigure(name, title, None, f"The {len(history.complete)} complete cells are all equally good.")
    label = _label(history, objective)
    axes = plots.plot_param_importances(made, target=target(history, objective), target_name=label)
    drawing = _restyled(axes, (8.5, 1.4 + 0.45 * len(importances(history, objective))))
    labels = _labels(history)
    axes.set_yticks(axes.get_yticks(), [labels[text.get_text()] for text in axes.get_yticklabels()])
    for bar in axes.patches:
        bar.set_color(COLOURS[0])
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    axes.grid(visible=False, axis="y")
    for text in axes.texts:
        text.set_text(f" {text.get_text()}")
    axes.set(xlabel=f"share of importance, for the {label}", ylabel="")
    few = len(history.complete) < STEADY_CELLS
    caution = f"; below {STEADY_CELLS} cells these shares are unsteady" if few else ""
    caption = (
        f"PED-ANOVA over {len(history.complete)} complete cells: which parameters the best tenth of the cells has in "
        f"common{caution}."
    )
    return _captioned(SearchFigure(name, title, drawing, caption))


def _contour(history: History, made: optuna.Study, objective: int, suffix: str) -> SearchFigure:
    name, title = f"search-contour{suffix}", f"Contour: {OBJECTIVES[_measure(history, objective)][0]}"
    if why := _why_not(history, LEAST_CELLS, parameters=2):
        return SearchFigure(name, title, None, why)
    drawing = draw_contour(
        history, made, objective, _label(history, objective), _labels(history), arm_style=ARM, winner_style=WINNER
    )
    shown = most_important(history, objective, MOST_PARAMETERS)
    others = [label for parameter, label in _labels(history).items() if parameter not in shown]
    left_out = f" Left out, since they matter less or did not vary: {', '.join(others)}." if others else ""
    arms = " and ".join(history.arms)
    marked = f" Stars: where {arms} lies; its value is a test value, and not part of this." if history.arms else ""
    caption = (
        f"Dots: the {len(history.complete)} complete cells; between them interpolated, which is no measurement."
        f"{marked}{left_out}"
    )
    return _captioned(SearchFigure(name, title, drawing, caption))


def _parallel(history: History, made: optuna.Study) -> SearchFigure:
    name, title = "search-parallel", "Parallel coordinates"
    if why := _why_not(history, 2, parameters=1):
        return SearchFigure(name, title, None, why)
    several = len(history.search.minimize) > 1
    named: dict[str, Any] = {} if several else {"target_name": _label(history, 0)}
    shown = sorted(
        {name for n in range(len(history.search.minimize)) for name in most_important(history, n, MOST_COLUMNS)}
    )
    axes = plots.plot_parallel_coordinate(made, params=shown, **named)
    columns = len(axes.get_xticks())
    drawing = _restyled(axes, (2.0 * columns + 1.6, 5.0))
    if several:
        _with_own_bar(drawing, axes, "rank by Pareto fronts; 0: the front", None)
    else:
        _with_own_bar(drawing, axes, _label(history, 0), colour_limits(history, 0))
    names = {**_labels(history), **{each: _label(history, n) for n, each in enumerate(history.search.minimize)}}
    cut = {_cut(each): label for each, label in names.items()}
    texts = [cut.get(text.get_text(), text.get_text()) for text in axes.get_xticklabels()]
    axes.set_xticks(axes.get_xticks(), [fill(text, 16) for text in texts], rotation=0, ha="center")
    for each in drawing.axes:
        each.grid(visible=False)
        each.spines["right"].set_visible(each is not axes)
        if each.get_yscale() == "log":
            each.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            each.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            each.yaxis.set_minor_formatter(NullFormatter())
        for text in each.get_yticklabels():
            text.set_bbox({"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6})
    caption = f"A line per complete cell ({len(history.complete)}). None: the parameter is not there in that cell."
    return _captioned(SearchFigure(name, title, drawing, caption))


def _with_own_bar(drawing: Figure, axes: Axes, label: str, limits: tuple[float, float] | None) -> None:
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


def _pareto(history: History, made: optuna.Study) -> SearchFigure:
    name, title = "search-pareto", "Pareto front"
    if not history.complete:
        return SearchFigure(name, title, None, _too_few(history, 1))
    axes = plots.plot_pareto_front(made, target_names=[_label(history, n) for n in range(2)])
    drawing = _restyled(axes, (8.5, 5.2))
    for dots, (label, colour) in zip(axes.collections[::-1], _dots(axes), strict=False):
        dots.set(color=colour, label=label, sizes=[30])
    marked = [(arm, each) for each in history.complete for arm in arms_at(history, each)]
    for arm, each in marked:
        axes.scatter(*([value] for value in each.means), label=arm, zorder=4, **ARM)
    winners = [each.asked.means for each in history.winners]
    if winners:
        axes.scatter(*zip(*winners, strict=True), label=winners_name(history), zorder=3, **WINNER)
    _legend(drawing, axes)
    unasked = [arm for arm in history.arms if arm not in {arm for arm, _ in marked}]
    missing = f" Never asked for, so not here: {', '.join(unasked)}." if unasked else ""
    stars = " Stars: asks with the values of these cells." if marked else ""
    caption = (
        f"{_seeds(history)}. On the front are {len(history.front)} of {len(history.complete)} complete cells: no other "
        f"is nowhere worse and somewhere better.{stars}{missing}"
    )
    return _captioned(SearchFigure(name, title, drawing, caption))


def _dots(axes: Axes) -> list[tuple[str, str]]:
    """Return label and colour of Optuna's points, last drawn first: those on the front, then the others."""
    return [("on the front", COLOURS[0]), ("beaten", "#b0b0b0")][: len(axes.collections)]


def _restyled(axes: Axes, size: tuple[float, float]) -> Figure:
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


def _legend(drawing: Figure, axes: Axes) -> None:
    """Put the legend beside the axes, in place of Optuna's."""
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    drawing.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)


def _named(axes: Axes, names: dict[str, str]) -> None:
    for dots in axes.collections:
        label = str(dots.get_label())
        dots.set(label=names.get(label, label), color=COLOURS[0], sizes=[26])


def _captioned(figure: SearchFigure) -> SearchFigure:
    assert figure.drawing is not None
    letters = round(CAPTION_LETTERS_PER_INCH * figure.drawing.get_figwidth())
    figure.drawing.supxlabel(fill(figure.caption, letters), fontsize=8, color=GREY)
    return figure


def _best_so_far(history: History, objective: int) -> tuple[list[int], list[float]]:
    """Return numbers of asks and the least value up to each."""
    complete = history.complete
    least = list(accumulate((each.means[objective] for each in complete), min))
    return [each.number for each in complete] + [history.asked[-1].number], [*least, least[-1]]


def _why_not(history: History, cells: int, *, parameters: int) -> str:
    """Return why there is no figure, nothing if there is enough for it."""
    if len(history.complete) < cells:
        return _too_few(history, cells)
    if len(varied(history)) < parameters:
        few = "No parameter" if parameters == 1 else "At most one parameter"
        return f"{few} varied among the {len(history.complete)} complete cells: there is nothing to compare."
    return ""


def _too_few(history: History, needed: int) -> str:
    there = len(history.complete)
    cells = f"{there or 'no'} complete cell{'' if there == 1 else 's'} so far"
    return (
        f"No figure yet: it takes {needed} complete cell{'' if needed == 1 else 's'}, and there {_are(there)} {cells}."
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _cells(history: History) -> str:
    return f"{len(history.asked)} cells asked for: {counts_text(history)}"


def _seeds(history: History) -> str:
    n = len(history.search.seeds)
    return f"Means over n = {n} seed{'' if n == 1 else 's'} per cell, on the validation split"


def _label(history: History, objective: int) -> str:
    return f"validation {with_unit(history.search.minimize[objective])}"


def _measure(history: History, objective: int) -> str:
    return measure(history.search.minimize[objective])


def _number(history: History, objective: int, value: float) -> str:
    _, unit, decimals = OBJECTIVES[_measure(history, objective)]
    return f"{value:.{decimals}f} {unit}".strip()


def _labels(history: History) -> dict[str, str]:
    return {parameter.name: parameter.label for parameter in history.search.parameters}


def _cut(name: str) -> str:
    """Return a name as Optuna writes it at parallel coordinates."""
    return name if len(name) < 20 else f"{name[:17]}..."
