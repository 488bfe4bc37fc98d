"""Draw what inspections found: a row per cell with p(v), histograms and 16 augmented images. No number is computed.

A page holds up to six cells, so that text and images stay readable: the smoke scale of figure-3, 11 cells, has two
pages, the paper's 86 cells have 15. The same seed has the same images, offsets and flips in every row.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil
from pathlib import Path
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from analysis.figures.inspection_data import Inspected, to_csv
from analysis.figures.style import COLOURS, GREY, RC, SCREEN_DPI, save
from sweeps.resolved import Axis

if TYPE_CHECKING:
    from softaug.inspection import Inspection, Sample

ROWS_A_PAGE = 6
WIDTH_IN, ROW_IN = 13.0, 2.15
COLUMNS_IN = (1.9, 1.9, 1.9, 7.0)  # text, p(v), histograms, images
SAMPLE_COLUMNS = 8
STEP_X, STEP_Y = 1.26, 1.44  # from one image to the next, in sides of an image: room for two lines of text
TITLE_LETTERS, CAPTION_LETTERS = 24, 170  # a line's
AT_MOST: dict[str, Any] = {"max_lines": 3, "placeholder": "…"}
TITLE_POINTS = 13.5  # from one line of a title to the next
SMALL = 7.0  # points, of the text at images
CONFIDENCE: dict[str, Any] = {"color": COLOURS[0], "linewidth": 2.2}
WEIGHT: dict[str, Any] = {"color": COLOURS[1], "linewidth": 1.4, "linestyle": "--"}
BARS: dict[str, Any] = {"color": "#b9b9b9"}
FRAME: dict[str, Any] = {"fill": False, "edgecolor": "#9a9a9a", "linewidth": 0.5, "in_layout": False}
PAGE = re.compile(r"inspection(-[0-9]{2,})?\.(svg|pdf|png)")


def write_inspection(cells: Sequence[Inspected], axes: Mapping[str, Axis], *, caption: str, out: Path) -> list[Path]:
    """Write the numbers as CSV and the pages as SVG, PDF and PNG into the folder `out`; return the files.

    Pages that an earlier inspection left there are deleted.
    """
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        if PAGE.fullmatch(old.name):
            old.unlink()
    written = []
    for name, content in to_csv(cells).items():
        (out / name).write_text(content, encoding="utf-8")
        written.append(out / name)
    sheets = pages(cells)
    for number, sheet in enumerate(sheets, 1):
        stem = "inspection" if len(sheets) == 1 else f"inspection-{number:02d}"
        written += save(draw(sheet, axes, caption=caption), out / stem, rc=RC, dpi=SCREEN_DPI)
    return written


def pages(cells: Sequence[Inspected]) -> list[Sequence[Inspected]]:
    """Split cells into as few pages as it takes, of as equal length as it goes, in their order."""
    count = ceil(len(cells) / ROWS_A_PAGE)
    ends = [round(len(cells) * number / count) for number in range(count + 1)]
    return [cells[start:end] for start, end in pairwise(ends)]


def draw(cells: Sequence[Inspected], axes: Mapping[str, Axis], *, caption: str) -> Figure:
    """Draw one page: a row per cell."""
    with rc_context(RC):
        height = 1.1 + ROW_IN * len(cells)
        drawing = Figure(figsize=(WIDTH_IN, height), layout="constrained")
        grid = drawing.subplots(len(cells), 4, squeeze=False, width_ratios=COLUMNS_IN)
        for (text, curve, histogram, images), each in zip(grid, cells, strict=True):
            _write_numbers(text, each, axes)
            _draw_curve(curve, each.inspection)
            _draw_histograms(histogram, each.inspection)
            _draw_samples(images, each.inspection.samples)
        grid[0][1].set_title("p and w over visibility", fontsize=10)
        grid[0][2].set_title("share of images", fontsize=10)
        grid[0][3].set_title("the first training images, as the first epoch has them", fontsize=10)
        grid[-1][1].set_xlabel("visibility v")
        grid[-1][2].set_xlabel("v, p")
        _add_legend(drawing)
        drawing.supxlabel(fill(caption, CAPTION_LETTERS), fontsize=8, color=GREY)
    return drawing


def _write_numbers(place: Axes, each: Inspected, axes: Mapping[str, Axis]) -> None:
    found = each.inspection
    place.set_axis_off()
    title = wrap(each.cell.arm, TITLE_LETTERS, **AT_MOST)
    error = f" ± {found.se_confidence:.4f}" if found.se_confidence else ""
    lines = [
        *wrap(each.axes_text(axes), TITLE_LETTERS + 4, **AT_MOST),
        "",
        f"mean v  {found.mean_visibility:.3f}",
        f"mean p  {found.mean_confidence:.4f}{error}",
        f"target entropy  {found.mean_entropy_nats:.3f} nats",
        f"mean w  {found.mean_weight:.3f}",
        f"effective sample  {100 * found.effective_fraction:.1f} %",
    ]
    below: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "va": "top",
        "linespacing": 1.3,
    }
    place.annotate("\n".join(title), (0, 1), (0, 0), fontsize=10, fontweight="bold", **below)
    place.annotate("\n".join(lines), (0, 1), (0, -TITLE_POINTS * len(title)), fontsize=9, **below)


def _draw_curve(axes: Axes, found: "Inspection") -> None:
    curve = found.curve
    axes.plot(curve.visibility, curve.confidence, **CONFIDENCE)
    axes.plot(curve.visibility, curve.weight, **WEIGHT)
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * max(1.0, *curve.weight)), xticks=(0, 0.5, 1))


def _draw_histograms(axes: Axes, found: "Inspection") -> None:
    seen, sure = found.visibility, found.confidence
    total = sum(seen.counts)
    axes.stairs([count / total for count in seen.counts], seen.edges, fill=True, **BARS)
    axes.stairs([count / total for count in sure.counts], sure.edges, **CONFIDENCE)
    axes.set(xlim=(0, 1), ylim=(0, 1.05), xticks=(0, 0.5, 1))


def _draw_samples(axes: Axes, samples: "Sequence[Sample]") -> None:
    """Draw images in rows of eight, under each its class, and p and w; sides of an image are the units."""
    axes.set_axis_off()
    for number, sample in enumerate(samples):
        row, column = divmod(number, SAMPLE_COLUMNS)
        x, y = STEP_X * column, STEP_Y * row
        pixels = sample.pixels.transpose(1, 2, 0)
        rgb = pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
        axes.imshow(rgb, extent=(x, x + 1, y + 1, y), interpolation="nearest")
        axes.add_patch(Rectangle((x, y), 1, 1, **FRAME))
        name = sample.class_name.replace("_", " ")
        text = f"{name}\np {sample.confidence:.2f}  w {sample.weight:.2f}"
        axes.text(x + 0.5, y + 1.03, text, fontsize=SMALL, ha="center", va="top", linespacing=1.1, in_layout=False)
    rows = ceil(len(samples) / SAMPLE_COLUMNS)
    axes.set(xlim=(0, STEP_X * SAMPLE_COLUMNS), ylim=(STEP_Y * rows, 0), aspect="equal", anchor="NW")


def _add_legend(drawing: Figure) -> None:
    handles = [
        Line2D([], [], label="p, probability of the true class in the target", **CONFIDENCE),
        Line2D([], [], label="w, weight in the loss", **WEIGHT),
        Patch(label="v, visibility", **BARS),
    ]
    drawing.legend(handles=handles, loc="outside upper center", ncols=len(handles))
