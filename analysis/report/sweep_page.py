"""The report's page of one sweep: findings, figure, table, search, reliability, images, where the numbers come from."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.artifacts import Artifacts
from analysis.cells import CellRuns
from analysis.figures.figures import all_figures
from analysis.report import summary
from analysis.report.cost import cost_rows
from analysis.report.run_pages import addresses, write_run_pages
from analysis.report.site import Picture, Site
from analysis.results import Results
from analysis.tables.formats import FORMATS, Format, to_html
from analysis.tables.sweep_table import NONE, sweep_table
from analysis.tables.table import Entry, Link, Row, Table
from sweeps.plan.course import Course

if TYPE_CHECKING:
    from sweeps.search.history import History

TABLE_FILES: Mapping[Format, str] = {"markdown": "table.md", "latex": "table.tex", "csv": "table.csv"}
TITLES = {"softening-over-sigma": "Error reduction and calibration over crop strength", "reliability": "Reliability"}
ABOUT = {
    "reliability": "How often the network is right, over how sure it says it is: below the diagonal it is "
    "overconfident, above it underconfident. Mean over the seeds, each bin weighted by its images; holes are left out, "
    "and of more than 7 curves in a panel or 20 panels so many are drawn, evenly spaced.",
    "error-over-occlusion": "Of the finished weights, with part of every test image covered (softaug evaluate).",
    "occlusion-examples": "Test images covered more and more, with what each network says and how sure it is.",
    "hard-examples": "Test images that networks get wrong, with what each says and how sure it is.",
}
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
        "figures": _figures(results, artifacts, folder),
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
        table=to_html(_linked(results, runs_url), described_by="numbers-note"),
        table_files=TABLE_FILES,
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
    from analysis.search.report import search_section  # with Optuna, which few reports need

    return search_section(history, results, folder)


def _figures(results: Results, artifacts: Artifacts, folder: Path) -> list[dict[str, Any]]:
    """Write the sweep's figures; return what the page shows of each, the declared one first."""
    found = []
    for each in all_figures(results, artifacts):
        files = each.write(folder, kinds=("svg",))  # `softaug figure` writes PDF and PNG too, which take as long again
        title = TITLES.get(each.name) or each.name.replace("-", " ").capitalize()
        about = summary.paper_says(results) if each.name == "softening-over-sigma" else ABOUT.get(each.name, "")
        picture = Picture(f"{each.name}.svg", f"{title}. {about or 'The numbers are in the CSV beside it.'}")
        found.append({"name": each.name, "title": title, "about": about, "picture": picture, "files": files})
    return found


def _samples(results: Results, artifacts: Artifacts, folder: Path) -> list[dict[str, Any]]:
    """Copy the images of the first finished seed of each cell, of so many cells as a page can show."""
    where, cells = addresses(results), results.cells[:MOST_SAMPLES]
    firsts = [cell.finished[0] for cell in cells if cell.finished]
    files = dict(zip((run.cell_key for run in firsts), artifacts.paths(firsts, "samples.png"), strict=True))
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
