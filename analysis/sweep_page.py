"""The report's page of one sweep: findings, figure, table, search, reliability, images, where the numbers come from."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import summary
from analysis.artifacts import Artifacts
from analysis.cells import CellRuns, axis_text, describe
from analysis.cost import cost_rows
from analysis.figure_data import declared_figure
from analysis.figures import write_figure
from analysis.reliability import Curve, draw_reliability, pool, read_curve
from analysis.results import Results
from analysis.run_pages import addresses, write_run_pages
from analysis.site import Picture, Site
from analysis.style import COLOURS, save
from analysis.table import Entry, Link, Row, Table
from analysis.table_formats import FORMATS, Format, to_html
from analysis.tables import NONE, sweep_table
from sweeps.course import Course

if TYPE_CHECKING:
    from sweeps.search_history import History

TABLE_FILES: Mapping[Format, str] = {"markdown": "table.md", "latex": "table.tex", "csv": "table.csv"}
MOST_CURVES = len(COLOURS)  # of reliability in a panel: more cannot be told apart
MOST_PANELS = 20
MOST_SAMPLES = 100  # cells whose images are shown: the paper's largest sweep has 86


@dataclass(frozen=True)
class Around:
    """What a sweep's page shows that is not in its results: its launches' costs, and how its search went."""

    courses: Sequence[Course] = ()
    history: "History | None" = None


def write_sweep_page(
    site: Site, results: Results, around: Around, artifacts: Artifacts, runs_url: str
) -> dict[str, Any]:
    """Write a sweep's page, its pages of runs, and the files beside them; return what the overview shows of it."""
    sweep, folder = results.sweep, site.folder / results.sweep.experiment
    folder.mkdir(parents=True, exist_ok=True)
    for kind, file in TABLE_FILES.items():
        (folder / file).write_text(FORMATS[kind](sweep_table(results)), encoding="utf-8")
    write_run_pages(site, results, runs_url)
    shown = {
        "sweep": sweep,
        "findings": summary.findings(results),
        "cautions": summary.cautions(results),
        "holes": summary.holes(results),
        "figure": _figure(results, folder) if sweep.figure else None,
        "finished": sum(run.state == "finished" for run in results.runs),
        "trials": len(results.runs),
        "cells": len(results.cells),
    }
    site.write(
        f"{sweep.experiment}/index.html",
        "sweep.html",
        **shown,
        provenance=summary.provenance(results),
        commands=summary.commands(results),
        paper=summary.paper_says(results) if sweep.figure else "",
        table=to_html(_linked(results, runs_url), described_by="numbers-note"),
        table_files=TABLE_FILES,
        reliability=_reliability(results, artifacts, folder),
        samples=_samples(results, artifacts, folder),
        cost=cost_rows(around.courses),
        search=_search(around.history, results, folder) if around.history is not None else None,
    )
    return shown


def _linked(results: Results, runs_url: str) -> Table:
    """Return the sweep's table with a link from every number to the runs it rests on. Holes are told above it."""
    table, where = sweep_table(results, runs_url=runs_url), addresses(results)
    names = 1 + len(results.sweep.axes)
    rows = [
        Row((*row.entries[:names], *(_link(entry, where[cell.cell.cell_key]) for entry in row.entries[names:])))
        for row, cell in zip(table.rows, results.cells, strict=True)
    ]
    return replace(table, rows=tuple(rows), notes=())


def _link(entry: Entry, url: str) -> Entry:
    if entry.text in ("", NONE):
        return entry
    return replace(entry, text="", links=(Link(entry.text, url), *entry.links))


def _search(history: "History", results: Results, folder: Path) -> dict[str, Any]:
    from analysis.search_report import search_section  # with Optuna, which few reports need

    return search_section(history, results, folder)


def _figure(results: Results, folder: Path) -> Picture:
    svg = next(path for path in write_figure(results, folder) if path.suffix == ".svg")
    kind = declared_figure(results.sweep).kind.replace("-", " ")
    return Picture(svg.name, f"Figure, {kind}: the numbers are in the table. {' '.join(summary.findings(results))}")


def _reliability(results: Results, artifacts: Artifacts, folder: Path) -> dict[str, Any] | None:
    """Draw the cells' reliability, a panel per line of the figure; None if only the baseline's is known."""
    axes, x = results.sweep.axes, results.sweep.figure.x if results.sweep.figure else None
    panels: dict[str, dict[str, CellRuns]] = {}
    for cell in results.cells:
        if cell is not results.baseline:
            label = axis_text(axes, x, cell.cell.axes[x]) if x in cell.cell.axes else "mean over seeds"
            panels.setdefault(describe(cell.cell, axes, without=x), {})[label] = cell
    every = sum(map(len, panels.values()))
    drawn = {name: dict(spread_out(list(panels[name].items()), MOST_CURVES))
             for name in spread_out(list(panels), MOST_PANELS)}  # fmt: skip
    curves = {name: {label: _curve(cell, artifacts) for label, cell in cells.items()} for name, cells in drawn.items()}
    known = sum(curve is not None for cells in curves.values() for curve in cells.values())
    if not known:
        return None
    base = _curve(results.baseline, artifacts)
    drawing = draw_reliability(curves, (results.sweep.baseline, base) if base else None)
    svg = save(drawing, folder / "reliability")[0]
    left_out = every - sum(map(len, drawn.values()))
    alt = f"Reliability diagrams, one per line of the sweep: {'; '.join(drawn)}."
    return {"picture": Picture(svg.name, alt), "drawn": every - left_out, "cells": every}


def spread_out(items: list[Any], most: int) -> list[Any]:
    """Return at most so many of the items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _curve(cell: CellRuns, artifacts: Artifacts) -> Curve | None:
    """Return a cell's reliability, pooled over its seeds; None for a hole."""
    if cell.problems:
        return None
    return pool([read_curve(path) for path in artifacts.fetch(cell.runs, "reliability.json")])


def _samples(results: Results, artifacts: Artifacts, folder: Path) -> list[dict[str, Any]]:
    """Copy the images of the first finished seed of each cell, of so many cells as a page can show."""
    where, cells = addresses(results), results.cells[:MOST_SAMPLES]
    firsts = [cell.finished[0] for cell in cells if cell.finished]
    files = dict(zip((run.cell_key for run in firsts), artifacts.fetch(firsts, "samples.png"), strict=True))
    (folder / "samples").mkdir(exist_ok=True)
    return [_sample(results, cell, files.get(cell.cell.cell_key), folder, where[cell.cell.cell_key]) for cell in cells]


def _sample(results: Results, cell: CellRuns, file: Path | None, folder: Path, runs: str) -> dict[str, Any]:
    name = summary.name(results, cell)
    if file is None:
        return {"name": name, "picture": None, "seed": None, "runs": runs}
    copy = f"samples/{cell.cell.cell_key[:12]}.png"
    shutil.copyfile(file, folder / copy)
    alt = f"16 augmented training images of {name} with the confidence of each below it"
    return {"name": name, "picture": Picture(copy, alt), "seed": cell.finished[0].seed, "runs": runs}
