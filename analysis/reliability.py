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

from analysis.style import GREY, RC, line_style

Styles = Mapping[str, dict[str, Any]]  # line label -> colour and marker

COLUMNS = 5
LEGEND_WIDTH_IN = 4.8
TICKS = (0, 0.5, 1)
TITLE_LETTERS, TITLE_LINE_IN = 26, 0.15
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


def draw_reliability(panels: Mapping[str, Mapping[str, Curve | None]], baseline: tuple[str, Curve] | None) -> Figure:
    """Draw a small diagram per panel, a curve per label (None: a hole), and the baseline (name, curve) in each."""
    columns = min(COLUMNS, len(panels))
    rows = ceil(len(panels) / columns)
    styles = {label: line_style(i) for i, label in enumerate(dict.fromkeys(chain.from_iterable(panels.values())))}
    with rc_context(RC):
        height = 0.8 + (2.15 + TITLE_LINE_IN * _title_lines(panels)) * rows
        drawing = Figure(figsize=(max(0.6 + 2.2 * columns, LEGEND_WIDTH_IN), height), layout="constrained")
        grid = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, (name, curves) in zip(grid.flat, panels.items(), strict=False):
            _draw_panel(axes, name, {label: curve for label, curve in curves.items() if curve}, baseline, styles)
        for axes in grid.flat[len(panels) - columns : len(panels)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("confidence")
        for axes in grid[:, 0]:
            axes.set_ylabel("accuracy")
        for unused in grid.flat[len(panels) :]:
            unused.set_axis_off()
        _add_legend(drawing, styles, baseline)
    return drawing


def _draw_panel(
    axes: Axes, name: str, curves: Mapping[str, Curve], baseline: tuple[str, Curve] | None, styles: Styles
) -> None:
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
    if baseline is not None:
        axes.plot(*_filled(baseline[1]), **BASELINE)
    for label, curve in curves.items():
        axes.plot(*_filled(curve), markersize=4, linewidth=1.2, **styles[label])
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=TICKS, yticks=TICKS)
    axes.set_title(fill(name, TITLE_LETTERS), fontsize=9)


def _title_lines(panels: Iterable[str]) -> int:
    return max((fill(name, TITLE_LETTERS).count("\n") + 1 for name in panels), default=1)


def _add_legend(drawing: Figure, styles: Styles, baseline: tuple[str, Curve] | None) -> None:
    handles = [Line2D([], [], label=label, **style) for label, style in styles.items()]
    if baseline is not None:
        handles.append(Line2D([], [], label=baseline[0], **BASELINE))
    drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _filled(curve: Curve) -> tuple[list[float], list[float]]:
    """Return confidence and accuracy of the bins that hold images."""
    filled = [i for i, count in enumerate(curve.count) if count]
    return [curve.confidence[i] for i in filled], [curve.accuracy[i] for i in filled]


def _sums(means: Sequence[float], count: Sequence[int]) -> list[float]:
    return [mean * n for mean, n in zip(means, count, strict=True)]


def _means(sums: Sequence[Sequence[float]], count: Sequence[int]) -> tuple[float, ...]:
    return tuple(sum(bins) / n if n else 0.0 for *bins, n in zip(*sums, count, strict=True))
