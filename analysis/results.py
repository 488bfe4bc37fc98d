"""The results of a sweep: what tables, figures and the report are functions of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlflow import MlflowClient

from analysis.cells import CellRuns, gather
from analysis.compare import Comparison, compare
from analysis.runs import TrialRun, read_runs
from sweeps.resolved import ResolvedSweep


@dataclass(frozen=True)
class Results:
    """A sweep's cells, baseline first, and their comparisons by cell key."""

    sweep: ResolvedSweep
    cells: tuple[CellRuns, ...]
    comparisons: Mapping[str, Comparison]

    @property
    def baseline(self) -> CellRuns:
        return next(cell for cell in self.cells if cell.cell.arm == self.sweep.baseline)

    @property
    def runs(self) -> list[TrialRun]:
        return [run for cell in self.cells for run in cell.runs]


def read_results(sweep: ResolvedSweep, client: MlflowClient) -> Results:
    """Return the sweep's results as MLflow holds them now."""
    return results_of(sweep, read_runs(client, sweep))


def results_of(sweep: ResolvedSweep, runs: Iterable[TrialRun]) -> Results:
    """Return the results of one row per expected trial, in any order."""
    cells = gather(sweep, runs)
    return Results(sweep, cells, compare(cells, sweep))
