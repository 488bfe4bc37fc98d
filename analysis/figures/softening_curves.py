"""The paper's Figure 2: what soft augmentation does to target and weight, and its curve over visibility.

No runs are needed: targets are `softaug.softening.soft_target`'s, curves are `soften`'s. Left, one image of
confidence p = 0.6 (Eq. 4, 5 and 6); right, p over visibility for several k with 100 classes (Eq. 7), and the constant
of label smoothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, GREY, PAGE_IN, PRINT, Drawn, rows_csv, write_caption
from softaug.softening import soft_target, soften

EXAMPLE_CONFIDENCE = 0.6
EXAMPLE_CLASSES, EXAMPLE_LABEL = 5, 1  # few, so that bars can be told apart
VARIANTS = {  # name -> whether target and weight are softened
    "hard target": (False, False),
    "soft target (Eq. 4)": (True, False),
    "soft weight (Eq. 5)": (False, True),
    "soft target & weight (Eq. 6)": (True, True),
}
KS = (1.0, 2.0, 3.0, 4.0)
CLASSES = 100
ALPHA = 0.1
POINTS = 101
DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Value:
    """A bar or a point of a curve: `x` is a class or a visibility, `y` its probability; `weight`: of the loss."""

    panel: str
    line: str
    x: float
    y: float
    weight: float


@dataclass(frozen=True)
class SofteningCurves:
    """Everything the figure shows."""

    bars: dict[str, tuple[Value, ...]]
    curves: dict[str, tuple[Value, ...]]


def softening_curves() -> Drawn:
    """Return the figure."""
    data = softening_data()
    return Drawn("figure-2", rows_csv(Value, _rows(data)), draw(data))


def softening_data() -> SofteningCurves:
    """Return the numbers."""
    curves = {f"k = {k:g}": _curve(k) for k in KS}
    name = f"label smoothing, α = {ALPHA:g}"
    smoothed = tuple(Value("curves", name, value.x, 1 - ALPHA, 1.0) for value in curves["k = 1"])
    return SofteningCurves({name: _bars(name, *soft) for name, soft in VARIANTS.items()}, {**curves, name: smoothed})


def _bars(name: str, target: bool, weight: bool) -> tuple[Value, ...]:
    confidence = torch.tensor([EXAMPLE_CONFIDENCE if target else 1.0], dtype=torch.float64)
    (row,) = soft_target(torch.tensor([EXAMPLE_LABEL]), confidence, classes=EXAMPLE_CLASSES).tolist()
    w = EXAMPLE_CONFIDENCE if weight else 1.0
    return tuple(Value("variants", name, float(number), p, w) for number, p in enumerate(row))


def _curve(k: float) -> tuple[Value, ...]:
    visibility = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    confidence = soften(1.0, visibility, k=k, classes=CLASSES).tolist()
    seen = visibility.tolist()
    return tuple(
        Value("curves", f"k = {k:g}", round(v, 4), round(p, 6), round(p, 6))
        for v, p in zip(seen, confidence, strict=True)
    )


def draw(data: SofteningCurves) -> Figure:
    """Draw the variants' targets and weights in a square on the left, the curves on the right."""
    with rc_context(PRINT):
        drawing = Figure(figsize=(PAGE_IN, 3.0), layout="constrained")
        placed = drawing.subplot_mosaic([["0", "1", "curves"], ["2", "3", "curves"]], width_ratios=(1, 1, 1.8))
        for number, (name, bars) in enumerate(data.bars.items()):
            _draw_bars(placed[str(number)], name, bars)
        for number in (0, 2):
            placed[str(number)].set_ylabel("target probability")
        _draw_curves(placed["curves"], data)
        write_caption(
            drawing,
            f"Left: target and weight w of an image whose crop leaves confidence p = {EXAMPLE_CONFIDENCE:g}, with "
            f"{EXAMPLE_CLASSES} classes. Right: confidence p = 1−(1−1/C)(1−v)^k over visibility v (Eq. 7), with "
            f"C = {CLASSES} classes; dashed grey, label smoothing with α = {ALPHA:g}, which no visibility changes.",
        )
    return drawing


def _draw_bars(axes: Axes, name: str, bars: tuple[Value, ...]) -> None:
    colours = [COLOURS[0] if number == EXAMPLE_LABEL else "#b9b9b9" for number in range(len(bars))]
    axes.bar([bar.x for bar in bars], [bar.y for bar in bars], width=0.7, color=colours)
    axes.set_title(name, fontsize=7)
    axes.text(0.97, 0.92, f"w = {bars[0].weight:g}", transform=axes.transAxes, ha="right", va="top")
    axes.set(
        ylim=(0, 1.05), xticks=range(len(bars)), xticklabels=["true" if n == EXAMPLE_LABEL else "" for n in range(5)]
    )


def _draw_curves(axes: Axes, data: SofteningCurves) -> None:
    for number, (name, curve) in enumerate(data.curves.items()):
        known = number < len(DASHES)
        style = (
            {"color": COLOURS[number], "linestyle": DASHES[number]}
            if known
            else {"color": GREY, "linestyle": (0, (5, 3))}
        )
        axes.plot([value.x for value in curve], [value.y for value in curve], linewidth=1.4, label=name, **style)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="visibility v", ylabel="target confidence p, weight w")
    axes.legend(loc="lower right")


def _rows(data: SofteningCurves) -> Iterator[Value]:
    for values in (*data.bars.values(), *data.curves.values()):
        yield from values
