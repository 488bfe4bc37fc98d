"""The report: a folder of pages that need nothing else, from what MLflow holds of some sweeps.

index.html is the overview; each sweep has a folder with its page, its pages of runs, and its figures and table as
files; the paper's tables and claims have a page each if there are runs for them.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlflow import MlflowClient

from analysis.artifacts import Artifacts
from analysis.report.paper_pages import write_paper_pages
from analysis.report.site import Site
from analysis.report.sweep_page import Around, write_sweep_page
from analysis.results import read_results
from analysis.runs import experiment_id
from sweeps.plan.course import Course
from sweeps.resolved import ResolvedSweep

if TYPE_CHECKING:
    from sweeps.search.history import History


def write_report(
    sweeps: list[ResolvedSweep],
    *,
    tracking_uri: str,
    out: Path,
    ui_url: str,
    courses: Mapping[str, Sequence[Course]] | None = None,
    searches: "Mapping[str, History] | None" = None,
) -> Path:
    """Write the site into the folder `out` and return the path of its first page.

    `ui_url` is the MLflow server that links to runs lead to. By experiment: `courses`, what its launches were expected
    to take, and took; `searches`, how its search went. Raises Unreadable if MLflow lacks what it should hold.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # else a bar for each small file
    client, site = MlflowClient(tracking_uri), Site(out)
    site.begin()
    with TemporaryDirectory() as downloads:
        artifacts = Artifacts(client, Path(downloads))
        shown, sources = [], []
        for sweep in sweeps:
            runs_url = f"{ui_url.rstrip('/')}/#/experiments/{experiment_id(client, sweep)}/runs"
            around = Around((courses or {}).get(sweep.experiment, ()), (searches or {}).get(sweep.experiment))
            sources.append(read_results(sweep, client))
            shown.append(write_sweep_page(site, sources[-1], around, artifacts, runs_url))
    return site.write("index.html", "overview.html", sweeps=shown, paper=write_paper_pages(site, sources))
