"""How our figures look, and how they are written: vector and pixel files without a date in them."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from io import StringIO
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers; the markers tell lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#555555"
RC: dict[Any, Any] = {  # of pages for the screen; PRINT of figures
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "svg.hashsalt": "softaug",  # the same numbers give the same file
}
# A column and a page of a two-column paper; what is drawn so wide is printed as it is.
COLUMN_IN, PAGE_IN = 3.3, 6.9
PRINT_DPI, SCREEN_DPI = 300, 160
PRINT: dict[Any, Any] = RC | {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.linewidth": 0.6,
    "legend.fontsize": 7,
    "legend.handlelength": 2.2,
    "pdf.fonttype": 42,  # as text, which publishers ask for
}
LEGEND_HANDLE_IN, LEGEND_LETTER_IN = 0.45, 0.055  # of an entry
CAPTION_LETTERS_PER_INCH = 19  # of CAPTION's size
CAPTION: dict[str, Any] = {"fontsize": 6.5, "color": GREY}
UNDATED: Mapping[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


def line_style(index: int) -> dict[str, Any]:
    """Return colour and marker of the line number `index`."""
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def legend_columns(names: Iterable[str], width_in: float) -> int:
    """Return how many columns a legend of these names may have in a figure for print of this width, inches."""
    every = list(names)
    entry_in = LEGEND_HANDLE_IN + LEGEND_LETTER_IN * max(map(len, every), default=0)
    return max(1, min(len(every), int(width_in / entry_in)))


def write_caption(drawing: Figure, text: str) -> None:
    """Write a caption below a figure, broken to its width."""
    letters = round(CAPTION_LETTERS_PER_INCH * drawing.get_figwidth())
    drawing.supxlabel(fill(text, letters), **CAPTION)


def save(
    drawing: Figure,
    stem: Path,
    *,
    rc: Mapping[Any, Any] = PRINT,
    dpi: int = PRINT_DPI,
    kinds: Iterable[str] = tuple(UNDATED),
) -> list[Path]:
    """Write a drawing, made with these settings, as SVG, PDF and PNG beside each other and return the paths."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
    with rc_context(dict(rc)):
        drawing.draw_without_rendering()
        drawing.set_layout_engine("none")  # laid out once, not for each file: half the time
        for axes in drawing.axes:  # the solver's last digits differ from time to time, and SVG's names are made of them
            place = axes.get_position(original=True).bounds
            axes.set_position((round(place[0], 6), round(place[1], 6), round(place[2], 6), round(place[3], 6)))
        for path in paths:
            drawing.savefig(path, dpi=dpi, metadata=UNDATED[path.suffix[1:]])
    return paths


@dataclass(frozen=True)
class Drawn:
    """A figure for print, the numbers in it as CSV, and the name of its files."""

    name: str
    csv: str
    drawing: Figure

    def write(self, out: Path, kinds: Iterable[str] = tuple(UNDATED)) -> list[Path]:
        """Write CSV, SVG, PDF and PNG into the folder `out` and return the files."""
        out.mkdir(parents=True, exist_ok=True)
        table = out / f"{self.name}.csv"
        table.write_text(self.csv, encoding="utf-8")
        return [table, *save(self.drawing, out / self.name, kinds=kinds)]


def rows_csv(kind: type[Any], rows: Iterable[Any]) -> str:
    """Return rows, dataclasses of one kind, as CSV with their fields as header."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(kind)])
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue()
