"""The report's pages of runs: cell by cell what a number rests on, as `softaug why` tells it, but from MLflow alone."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from analysis.cells import CellRuns
from analysis.report import summary
from analysis.report.site import Site
from analysis.results import Results
from analysis.runs import TrialRun
from analysis.tables.sweep_table import NONE, estimate_text, reduction_text
from sweeps.cli.why_text import compared_text

CELLS_PER_PAGE = 100
KEY_DIGITS = 12  # of a cell's key, where `softaug why` takes it and in an anchor


def page_name(number: int) -> str:
    """Return the file of a page of runs, counted from 0."""
    return "runs.html" if number == 0 else f"runs-{number + 1}.html"


def addresses(results: Results) -> dict[str, str]:
    """Return where each cell's runs are shown, from the sweep's own page, by cell key."""
    keys = [cell.cell.cell_key for cell in results.cells]
    return {key: f"{page_name(place // CELLS_PER_PAGE)}#{_anchor(key)}" for place, key in enumerate(keys)}


def write_run_pages(site: Site, results: Results, runs_url: str) -> None:
    """Write the pages of a sweep's runs, and remove those of an earlier report that had more."""
    folder = results.sweep.experiment
    for old in (site.folder / folder).glob("runs*.html"):
        old.unlink()
    starts = range(0, len(results.cells), CELLS_PER_PAGE)
    pages = [page_name(number) for number in range(len(starts))]
    for page, start in zip(pages, starts, strict=True):
        cells = results.cells[start : start + CELLS_PER_PAGE]
        shown = [_cell(results, cell, runs_url) for cell in cells]
        site.write(f"{folder}/{page}", "runs.html", sweep=results.sweep, cells=shown, pages=pages, page=page)


def _cell(results: Results, cell: CellRuns, runs_url: str) -> dict[str, Any]:
    sweep, key = results.sweep, cell.cell.cell_key
    parents = sorted({run.parent_id for run in cell.runs if run.parent_id})
    return {
        "anchor": _anchor(key),
        "name": summary.name(results, cell),
        "key": key,
        "numbers": list(_numbers(results, cell)),
        "problems": cell.problems,
        "compared": compared_text(sweep, cell.cell),
        "command": f"softaug why {key[:KEY_DIGITS]} --sweep {sweep.name} --scale {sweep.scale}",
        "parents": [f"{runs_url}/{parent}" for parent in parents],
        "runs": [_run(run, runs_url) for run in cell.runs],
    }


def _numbers(results: Results, cell: CellRuns) -> Iterator[str]:
    error, ece = cell.estimate("test/top1_error"), cell.estimate("test/ece")
    if error is not None:
        yield f"{estimate_text(error)} % top-1 error, {estimate_text(ece)} % ECE (n = {error.n})"
    comparison = results.comparisons.get(cell.cell.cell_key)
    if comparison is not None:
        by_seed = ", ".join(f"{points:+.2f} (seed {seed})" for seed, points in comparison.by_seed.items())
        text = reduction_text(comparison.reduction)
        yield f"{text} points less error than the baseline, seed by seed {by_seed}".replace("-", "−")


def _run(run: TrialRun, runs_url: str) -> dict[str, Any]:
    error, ece = run.metrics.get("test/top1_error"), run.metrics.get("test/ece")
    return {
        "seed": run.seed,
        "state": run.state,
        "ending": run.ending,
        "error": NONE if error is None else f"{error:.2f}",
        "ece": NONE if ece is None else f"{ece:.2f}",
        "epochs": run.facts.get("epochs", NONE),
        "seconds": f"{run.seconds:.1f}" if "seconds" in run.facts else NONE,
        "attempt": run.attempt or NONE,
        "device": run.facts.get("device", NONE),
        "torch": run.facts.get("torch", NONE),
        "commit": summary.commits([run]) if "git_commit" in run.facts else NONE,
        "key": run.trial_key[:KEY_DIGITS],
        "url": f"{runs_url}/{quote(run.run_id)}" if run.run_id else None,
    }


def _anchor(cell_key: str) -> str:
    return f"cell-{cell_key[:KEY_DIGITS]}"
