"""Reliability diagrams: how often a network is right, over how sure it says it is; the diagonal is calibrated."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from analysis.figures.style import COLUMN_IN, GREY, PAGE_IN, PRINT, legend_columns, line_style
from softaug.estimate import Estimate

Styles = Mapping[str, dict[str, Any]]  # line label -> colour and marker
Eces = Mapping[str, Mapping[str, Estimate]]  # panel -> line -> percent

COLUMNS = 4  # at most
TICKS = (0, 0.5, 1)
TITLE_LETTERS, TITLE_LINE_IN = 24, 0.13
ECE_POINTS = 6.0  # size of the numbers in a panel
BASELINE: dict[str, Any] = {"color": GREY, "linestyle": "--", "linewidth": 1.2}


@dataclass(frozen=True)
class Curve:
    """Reliability on the test set, per bin of confidence: images, and their mean accuracy and confidence in 0..1.

    Both are 0 in a bin without images, as `softaug.metrics.reliability` writes them.
    """

    count: tuple[int, ...]
    accuracy: tuple[float, ...]
    confidence: tuple[float, ...]


def read_curve(path: Path) -> Curve:
    """Read a trial's reliability.json."""
    bins = json.loads(path.read_text(encoding="utf-8"))
    return Curve(tuple(bins["count"]), tuple(bins["accuracy"]), tuple(bins["confidence"]))


def pool(curves: Sequence[Curve]) -> Curve:
    """Return the mean over seeds, each bin weighted by its images: the diagram of all seeds' images together."""
    count = tuple(sum(bins) for bins in zip(*(curve.count for curve in curves), strict=True))
    accuracy = [_sums(curve.accuracy, curve.count) for curve in curves]
    confidence = [_sums(curve.confidence, curve.count) for curve in curves]
    return Curve(count, _means(accuracy, count), _means(confidence, count))


def draw_reliability(
    panels: Mapping[str, Mapping[str, Curve | None]],
    baseline: tuple[str, Curve] | None,
    eces: Eces | None = None,
    baseline_ece: Estimate | None = None,
) -> Figure:
    """Draw a small diagram per panel, a curve per label (None: a hole), and the baseline (name, curve) in each.

    `eces`: expected calibration errors, percent, to stand in the panels in the colours of their curves.
    """
    rows = ceil(len(panels) / COLUMNS)
    columns = ceil(len(panels) / rows)
    styles = {label: line_style(i) for i, label in enumerate(dict.fromkeys(chain.from_iterable(panels.values())))}
    with rc_context(PRINT):
        width = PAGE_IN if columns > 2 else COLUMN_IN
        height = 0.55 + (width / columns + 0.1 + TITLE_LINE_IN * _title_lines(panels)) * rows
        drawing = Figure(figsize=(width, height), layout="constrained")
        grid = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, (name, curves) in zip(grid.flat, panels.items(), strict=False):
            _draw_panel(axes, name, {label: curve for label, curve in curves.items() if curve}, baseline, styles)
            _write_eces(axes, (eces or {}).get(name, {}), styles)
        for axes in grid.flat[len(panels) - columns : len(panels)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("confidence")
        for axes in grid[:, 0]:
            axes.set_ylabel("accuracy")
        for unused in grid.flat[len(panels) :]:
            unused.set_axis_off()
        _add_legend(drawing, styles, baseline, baseline_ece)
    return drawing


def _draw_panel(
    axes: Axes, name: str, curves: Mapping[str, Curve], baseline: tuple[str, Curve] | None, styles: Styles
) -> None:
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
    if baseline is not None:
        axes.plot(*_filled(baseline[1]), **BASELINE)
    for label, curve in curves.items():
        axes.plot(*_filled(curve), markersize=3, linewidth=1, **styles[label])
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=TICKS, yticks=TICKS)
    axes.set_title(_in_lines(name), fontsize=7)


def _write_eces(axes: Axes, eces: Mapping[str, Estimate], styles: Styles) -> None:
    """Write calibration errors into the corner below the diagonal, the first on top."""
    for number, (label, ece) in enumerate(reversed(list(eces.items()))):
        first = "ECE " if number == len(eces) - 1 else ""
        place: dict[str, Any] = {
            "xycoords": "axes fraction",
            "textcoords": "offset points",
            "ha": "right",
            "va": "bottom",
            "path_effects": [withStroke(linewidth=2, foreground="white")],  # where a curve passes below
        }
        up = (-1, 2 + 1.15 * ECE_POINTS * number)
        axes.annotate(
            f"{first}{_ece_text(ece)}", (1, 0), up, fontsize=ECE_POINTS, color=styles[label]["color"], **place
        )


def _title_lines(panels: Iterable[str]) -> int:
    return max((_in_lines(name).count("\n") + 1 for name in panels), default=1)


def _in_lines(title: str) -> str:
    return fill(title.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"), TITLE_LETTERS)


def _add_legend(
    drawing: Figure, styles: Styles, baseline: tuple[str, Curve] | None, baseline_ece: Estimate | None
) -> None:
    handles = [Line2D([], [], label=label, markersize=4, **style) for label, style in styles.items()]
    if baseline is not None:
        ece = "" if baseline_ece is None else f", ECE {_ece_text(baseline_ece)}"
        handles.append(Line2D([], [], label=f"{baseline[0]}{ece}", **BASELINE))
    columns = legend_columns((str(handle.get_label()) for handle in handles), drawing.get_figwidth())
    drawing.legend(handles=handles, loc="outside lower center", ncols=columns)


def _ece_text(ece: Estimate) -> str:
    return f"{ece.mean:.2f} %" if ece.se is None else f"{ece.mean:.2f} ± {ece.se:.2f} %"


def _filled(curve: Curve) -> tuple[list[float], list[float]]:
    """Return confidence and accuracy of the bins that hold images."""
    filled = [i for i, count in enumerate(curve.count) if count]
    return [curve.confidence[i] for i in filled], [curve.accuracy[i] for i in filled]


def _sums(means: Sequence[float], count: Sequence[int]) -> list[float]:
    return [mean * n for mean, n in zip(means, count, strict=True)]


def _means(sums: Sequence[Sequence[float]], count: Sequence[int]) -> tuple[float, ...]:
    return tuple(sum(bins) / n if n else 0.0 for *bins, n in zip(*sums, count, strict=True))
