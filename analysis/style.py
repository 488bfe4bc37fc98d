"""How our figures look, and how they are written: vector and pixel files without a date in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers; the markers tell lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#555555"
RC: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "svg.hashsalt": "softaug",  # the same numbers give the same file
}
UNDATED: Mapping[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


def line_style(index: int) -> dict[str, Any]:
    """Return colour and marker of the line number `index`."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def save(drawing: Figure, stem: Path) -> list[Path]:
    """Write a drawing as SVG, PDF and PNG beside each other and return the three paths."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in UNDATED]
    with rc_context(RC):
        drawing.draw_without_rendering()
        drawing.set_layout_engine("none")  # laid out once, not for each file: half the time
        for path in paths:
            drawing.savefig(path, dpi=160, metadata=UNDATED[path.suffix[1:]])
    return paths
