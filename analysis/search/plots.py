"""Figures of a search: Optuna's own plots of the study rebuilt from the ledger, in our style, with cells marked.

Marked are the sweep's own cells that the search might have asked for (the paper's setting among them), and the winners.
The sweep's cells are tested, not validated, so they have no value here: a contour shows where they lie; on a Pareto
front an ask with the same values is marked, if there is one.
"""

from dataclasses import dataclass
from itertools import accumulate
from textwrap import fill
from typing import Any

import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from optuna.visualization import matplotlib as plots

from analysis.figures.style import COLOURS, GREY
from analysis.search.contour import MOST_PARAMETERS, draw_contour
from analysis.search.data import (
    LEAST_CELLS,
    OBJECTIVES,
    STEADY_CELLS,
    arms_at,
    colour_limits,
    importances,
    most_important,
    target,
    winners_name,
)
from analysis.search.optuna_style import captioned, legend, restyled, with_own_bar
from analysis.search.words import (
    as_optuna_cuts,
    cells_text,
    labels,
    measure_of,
    number_with_unit,
    seeds_text,
    too_few,
    value_label,
    why_not,
)
from sweeps.search.history import History

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


def history_figure(history: History, made: optuna.Study, objective: int, suffix: str) -> SearchFigure:
    """Draw an objective of every complete cell, the least so far, and which cells were pruned, failed or are open."""
    name, title = f"search-history{suffix}", f"History: {OBJECTIVES[measure_of(history, objective)][0]}"
    if not history.complete:
        return SearchFigure(name, title, None, too_few(history, 1))
    axes = plots.plot_optimization_history(
        made, target=target(history, objective), target_name=value_label(history, objective)
    )
    drawing = restyled(axes, (8.5, 4.6))
    for line in axes.get_lines() or axes.plot(*_best_so_far(history, objective)):  # Optuna draws it for one objective
        line.set(color=COLOURS[1], alpha=1, linewidth=1.4, drawstyle="steps-post", label="best so far")
    _named(axes, {value_label(history, objective): "a complete cell"})
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
    legend(drawing, axes)
    best = min(each.means[objective] for each in history.complete)
    caption = (
        f"{cells_text(history)}. {seeds_text(history)}. Least: {number_with_unit(history, objective, best)}; "
        f"the least of {len(history.complete)} flatters."
    )
    return SearchFigure(name, title, captioned(drawing, caption), caption)


def importance_figure(history: History, made: optuna.Study, objective: int, suffix: str) -> SearchFigure:
    """Draw how much each parameter matters for an objective, by PED-ANOVA."""
    name, title = f"search-importance{suffix}", f"Importance for {OBJECTIVES[measure_of(history, objective)][0]}"
    if why := why_not(history, LEAST_CELLS, parameters=1):
        return SearchFigure(name, title, None, why)
    if not importances(history, objective):
        return SearchFigure(name, title, None, f"The {len(history.complete)} complete cells are all equally good.")
    label = value_label(history, objective)
    axes = plots.plot_param_importances(made, target=target(history, objective), target_name=label)
    drawing = restyled(axes, (8.5, 1.4 + 0.45 * len(importances(history, objective))))
    names = labels(history)
    axes.set_yticks(axes.get_yticks(), [names[text.get_text()] for text in axes.get_yticklabels()])
    for bar in axes.patches:
        bar.set_color(COLOURS[0])
    theirs = axes.get_legend()
    if theirs is not None:
        theirs.remove()
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
    return SearchFigure(name, title, captioned(drawing, caption), caption)


def contour_figure(history: History, made: optuna.Study, objective: int, suffix: str) -> SearchFigure:
    """Draw an objective over every pair of parameters, with the sweep's own cells and the winners marked."""
    name, title = f"search-contour{suffix}", f"Contour: {OBJECTIVES[measure_of(history, objective)][0]}"
    if why := why_not(history, LEAST_CELLS, parameters=2):
        return SearchFigure(name, title, None, why)
    drawing = draw_contour(
        history, made, objective, value_label(history, objective), labels(history), arm_style=ARM, winner_style=WINNER
    )
    shown = most_important(history, objective, MOST_PARAMETERS)
    others = [label for parameter, label in labels(history).items() if parameter not in shown]
    left_out = f" Left out, since they matter less or did not vary: {', '.join(others)}." if others else ""
    arms = " and ".join(history.arms)
    marked = f" Stars: where {arms} lies; its value is a test value, and not part of this." if history.arms else ""
    caption = (
        f"Dots: the {len(history.complete)} complete cells; between them interpolated, which is no measurement."
        f"{marked}{left_out}"
    )
    return SearchFigure(name, title, captioned(drawing, caption), caption)


def parallel_figure(history: History, made: optuna.Study) -> SearchFigure:
    """Draw a line per complete cell over all parameters, coloured by its value or its rank."""
    name, title = "search-parallel", "Parallel coordinates"
    if why := why_not(history, 2, parameters=1):
        return SearchFigure(name, title, None, why)
    several = len(history.search.minimize) > 1
    named: dict[str, Any] = {} if several else {"target_name": value_label(history, 0)}
    shown = sorted(
        {name for n in range(len(history.search.minimize)) for name in most_important(history, n, MOST_COLUMNS)}
    )
    axes = plots.plot_parallel_coordinate(made, params=shown, **named)
    columns = len(axes.get_xticks())
    drawing = restyled(axes, (2.0 * columns + 1.6, 5.0))
    if several:
        with_own_bar(drawing, axes, "rank by Pareto fronts; 0: the front", None)
    else:
        with_own_bar(drawing, axes, value_label(history, 0), colour_limits(history, 0))
    names = {**labels(history), **{each: value_label(history, n) for n, each in enumerate(history.search.minimize)}}
    cut = {as_optuna_cuts(each): label for each, label in names.items()}
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
    return SearchFigure(name, title, captioned(drawing, caption), caption)


def pareto_figure(history: History, made: optuna.Study) -> SearchFigure:
    """Draw two objectives of every complete cell, and which are on the Pareto front."""
    name, title = "search-pareto", "Pareto front"
    if not history.complete:
        return SearchFigure(name, title, None, too_few(history, 1))
    axes = plots.plot_pareto_front(made, target_names=[value_label(history, n) for n in range(2)])
    drawing = restyled(axes, (8.5, 5.2))
    for dots, (label, colour) in zip(axes.collections[::-1], _dots(axes), strict=False):
        dots.set(color=colour, label=label, sizes=[30])
    marked = [(arm, each) for each in history.complete for arm in arms_at(history, each)]
    for arm, each in marked:
        axes.scatter(*([value] for value in each.means), label=arm, zorder=4, **ARM)
    winners = [each.asked.means for each in history.winners]
    if winners:
        axes.scatter(*zip(*winners, strict=True), label=winners_name(history), zorder=3, **WINNER)
    legend(drawing, axes)
    unasked = [arm for arm in history.arms if arm not in {arm for arm, _ in marked}]
    missing = f" Never asked for, so not here: {', '.join(unasked)}." if unasked else ""
    stars = " Stars: asks with the values of these cells." if marked else ""
    caption = (
        f"{seeds_text(history)}. On the front are {len(history.front)} of {len(history.complete)} complete cells: "
        f"no other is nowhere worse and somewhere better.{stars}{missing}"
    )
    return SearchFigure(name, title, captioned(drawing, caption), caption)


def _dots(axes: Axes) -> list[tuple[str, str]]:
    """Return label and colour of Optuna's points, last drawn first: those on the front, then the others."""
    return [("on the front", COLOURS[0]), ("beaten", "#b0b0b0")][: len(axes.collections)]


def _named(axes: Axes, names: dict[str, str]) -> None:
    for dots in axes.collections:
        label = str(dots.get_label())
        dots.set(label=names.get(label, label), color=COLOURS[0], sizes=[26])


def _best_so_far(history: History, objective: int) -> tuple[list[int], list[float]]:
    """Return numbers of asks and the least value up to each."""
    complete = history.complete
    least = list(accumulate((each.means[objective] for each in complete), min))
    return [each.number for each in complete] + [history.asked[-1].number], [*least, least[-1]]
