"""A table as one description, whatever it is written as: see `analysis.tables.formats`."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A page behind an entry: of a cell or a trial in MLflow."""

    text: str
    url: str
    label: str = ""  # for who hears the page, where the text alone says too little: "seed 0"


@dataclass(frozen=True)
class Entry:
    """What one place of a table shows: its text, then its links.

    `hole`: why there is no number, for a place that should have one. `bold` stands for a test, never for a look.
    """

    text: str
    bold: bool = False
    hole: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Row:
    """The entries of a row, one per column. `opens`: a group of rows begins here, and a rule is drawn above it."""

    entries: tuple[Entry, ...]
    opens: bool = False


@dataclass(frozen=True)
class Table:
    """A table for people, `rows`, and the same numbers for programs, `records`: one per cell, unrounded, for CSV.

    `columns`: titles, units included; the first `heads` name the rows, the others hold numbers, or sentences
    that wrap (`prose`). `notes` stand below. Raises ValueError if a row has not an entry per column.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    records: tuple[Mapping[str, object], ...]
    title: str = ""
    heads: int = 1
    prose: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, 1):
            if len(row.entries) != len(self.columns):
                raise ValueError(f"row {number} has {len(row.entries)} entries for {len(self.columns)} columns")
