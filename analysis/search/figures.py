"""All figures of a search, as `plots` draws them, written as SVG, PDF and PNG with their numbers as CSV."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib import rc_context

from analysis.figures.style import RC, SCREEN_DPI, UNDATED, save
from analysis.search.data import asks_csv, importances_csv, measure
from analysis.search.plots import (
    SearchFigure,
    contour_figure,
    history_figure,
    importance_figure,
    parallel_figure,
    pareto_figure,
)
from sweeps.search.export import quiet_optuna, study
from sweeps.search.history import History


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
            written += save(each.drawing, out / each.name, rc=RC, dpi=SCREEN_DPI)
    return found, written


def search_figures(history: History) -> list[SearchFigure]:
    """Return all figures of a search, objective by objective."""
    found: list[SearchFigure] = []
    several = len(history.search.minimize) > 1
    with _drawing():
        made = study(history)
        if several:
            found.append(pareto_figure(history, made))
        for number, name in enumerate(history.search.minimize):
            suffix = f"-{measure(name)}" if several else ""
            plots = (history_figure, importance_figure, contour_figure)
            found += [plot(history, made, number, suffix) for plot in plots]
        found.append(parallel_figure(history, made))
    return found


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw off screen, in our style, and without Optuna's notes that its plots may change."""
    matplotlib.use("agg")
    with rc_context(RC), quiet_optuna():
        yield
