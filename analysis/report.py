"""The report: one self-contained page per set of sweeps, with figures, tables, reliability, samples and every run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from mlflow import MlflowClient

from analysis import summary
from analysis.cells import CellRuns, axis_text, describe
from analysis.cost import cost_rows
from analysis.figure_data import declared_figure
from analysis.figures import write_figure
from analysis.pictures import Picture, picture
from analysis.reliability import Curve, draw_reliability, pool, read_curve
from analysis.results import Results, read_results
from analysis.runs import TrialRun, experiment_id
from analysis.style import save
from analysis.table_formats import FORMATS, Format, to_html
from analysis.tables import NONE, sweep_table
from sweeps.course import Course
from sweeps.resolved import ResolvedSweep

if TYPE_CHECKING:
    from sweeps.search_history import History

HERE = Path(__file__).parent
TABLE_FILES: Mapping[Format, str] = {"markdown": "table.md", "latex": "table.tex", "csv": "table.csv"}


@dataclass(frozen=True)
class Source:
    """Where artifacts come from and run links lead to."""

    client: MlflowClient
    downloads: Path
    runs_url: str  # of one experiment: <ui>/#/experiments/<id>/runs


def write_report(
    sweeps: list[ResolvedSweep],
    *,
    tracking_uri: str,
    out: Path,
    ui_url: str,
    courses: Mapping[str, Sequence[Course]] | None = None,
    searches: "Mapping[str, History] | None" = None,
) -> Path:
    """Write `out`/index.html and, per sweep, its figure and table files; return the page's path.

    The page makes no request: pictures and style are inside. `ui_url` is the MLflow server that run links lead to. By
    experiment: `courses`, what its launches were expected to take, and took; `searches`, how its search went.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # else a bar for each small file
    client = MlflowClient(tracking_uri)
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as downloads:
        sections = []
        for sweep in sweeps:
            section, results = _section(sweep, client, Path(downloads), out / sweep.experiment, ui_url)
            now = (searches or {}).get(sweep.experiment)
            section["search"] = _search(now, results, out / sweep.experiment) if now is not None else None
            section["cost"] = cost_rows((courses or {}).get(sweep.experiment, []))
            sections.append(section)
    page = out / "index.html"
    page.write_text(_render(sections), encoding="utf-8")
    return page


def _render(sections: list[dict[str, Any]]) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = (HERE / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(sections=sections, style=style)


def _section(
    sweep: ResolvedSweep, client: MlflowClient, downloads: Path, out: Path, ui_url: str
) -> tuple[dict[str, Any], Results]:
    results = read_results(sweep, client)
    source = Source(client, downloads, f"{ui_url.rstrip('/')}/#/experiments/{experiment_id(client, sweep)}/runs")
    out.mkdir(parents=True, exist_ok=True)
    for kind, file in TABLE_FILES.items():
        (out / file).write_text(FORMATS[kind](sweep_table(results)), encoding="utf-8")
    numbers = replace(sweep_table(results, runs_url=source.runs_url), notes=())  # the page tells holes above
    section = {
        "sweep": sweep,
        "provenance": summary.provenance(results),
        "commands": summary.commands(results),
        "findings": summary.findings(results),
        "cautions": summary.cautions(results),
        "holes": summary.holes(results),
        "paper": summary.paper_says(results) if sweep.figure else "",
        "figure": _figure(results, out) if sweep.figure else None,
        "table": to_html(numbers, described_by=f"{sweep.experiment}-note"),
        "reliability": _reliability(results, source, out),
        "samples": [_samples(results, cell, source) for cell in results.cells],
        "runs": [_run_row(results, cell, run, source) for cell in results.cells for run in cell.runs],
    }
    return section, results


def _search(history: "History", results: Results, out: Path) -> dict[str, Any]:
    from analysis.search_report import search_section  # with Optuna, which few reports need

    return search_section(history, results, out)


def _figure(results: Results, out: Path) -> Picture:
    svg = next(path for path in write_figure(results, out) if path.suffix == ".svg")
    kind = declared_figure(results.sweep).kind.replace("-", " ")
    return picture(svg, f"Figure, {kind}: the numbers are in the table below. {' '.join(summary.findings(results))}")


def _run_row(results: Results, cell: CellRuns, run: TrialRun, source: Source) -> dict[str, Any]:
    error, ece = run.metrics.get("test/top1_error"), run.metrics.get("test/ece")
    return {
        "cell": summary.name(results, cell),
        "seed": run.seed,
        "state": run.state,
        "ending": run.ending,
        "error": NONE if error is None else f"{error:.2f}",
        "ece": NONE if ece is None else f"{ece:.2f}",
        "epochs": run.facts.get("epochs", NONE),
        "seconds": f"{run.seconds:.1f}" if "seconds" in run.facts else NONE,
        "attempt": run.attempt or NONE,
        "device": run.facts.get("device", NONE),
        "url": f"{source.runs_url}/{run.run_id}" if run.run_id else None,
    }


def _reliability(results: Results, source: Source, out: Path) -> Picture | None:
    """Draw the cells' reliability, a panel per line of the figure; None if only the baseline's is known."""
    axes, x = results.sweep.axes, results.sweep.figure.x if results.sweep.figure else None
    base = _curve(results.baseline, source)
    panels: dict[str, dict[str, Curve | None]] = {}
    for cell in results.cells:
        if cell is not results.baseline:
            label = axis_text(axes, x, cell.cell.axes[x]) if x in cell.cell.axes else "mean over seeds"
            panels.setdefault(describe(cell.cell, axes, without=x), {})[label] = _curve(cell, source)
    if not any(curve for curves in panels.values() for curve in curves.values()):
        return None
    drawing = draw_reliability(panels, (results.sweep.baseline, base) if base else None)
    svg = save(drawing, out / "reliability")[0]
    return picture(svg, f"Reliability diagrams, one per line of the sweep: {'; '.join(panels)}.")


def _curve(cell: CellRuns, source: Source) -> Curve | None:
    """Return a cell's reliability, pooled over its seeds; None for a hole."""
    if cell.problems:
        return None
    return pool([read_curve(_artifact(run, "reliability.json", source)) for run in cell.runs])


def _samples(results: Results, cell: CellRuns, source: Source) -> dict[str, Any]:
    name = summary.name(results, cell)
    if not cell.finished:
        return {"name": name, "picture": None, "seed": None}
    run = cell.finished[0]
    alt = f"16 augmented training images of {name} with the confidence of each below it"
    return {"name": name, "picture": picture(_artifact(run, "samples.png", source), alt), "seed": run.seed}


def _artifact(run: TrialRun, name: str, source: Source) -> Path:
    """Download an artifact of a finished run; the tracker says "finished" only once they are there."""
    folder = source.downloads / str(run.run_id)
    folder.mkdir(exist_ok=True)
    return Path(source.client.download_artifacts(str(run.run_id), name, str(folder)))
