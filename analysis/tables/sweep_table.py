"""The table of a sweep: one row per cell, baseline first; and how estimates and p values are written.

A hole shows its finished seeds ("2/3") and no number. Bold is a reduction that stands after Holm's correction.
"""

from collections.abc import Mapping

from mlflow import MlflowClient

from analysis.cells import CellRuns, describe, number_text
from analysis.results import Results, read_results
from analysis.tables.formats import FORMATS, Format
from analysis.tables.table import Entry, Link, Row, Table
from softaug.estimate import Estimate
from sweeps.resolved import ResolvedSweep

NONE = "–"
# metric, header with unit, decimals
COLUMNS = (("test/top1_error", "top-1 error (%)", 2), ("test/ece", "ECE (%)", 2),
           ("test/nll", "NLL (nats)", 3), ("test/brier", "Brier score", 3))  # fmt: skip
REDUCTION = ("reduction (points) [95 % interval]", "p (Holm)")
MLFLOW = "MLflow: cell, seeds"


def table(sweep: ResolvedSweep, *, tracking_uri: str, form: Format) -> str:
    """Return the sweep's table as text."""
    return FORMATS[form](sweep_table(read_results(sweep, MlflowClient(tracking_uri))))


def sweep_table(results: Results, *, runs_url: str | None = None) -> Table:
    """Return the table of a sweep. `runs_url`, of its experiment's runs in MLflow, adds a column of links."""
    error, *others = (title for _, title, _ in COLUMNS)
    axes = [axis.label for axis in results.sweep.axes.values()]
    links = [MLFLOW] if runs_url else []
    holes = [f"{describe(cell.cell, results.sweep.axes)}: {'; '.join(cell.problems)}" for cell in results.cells
             if cell.problems]  # fmt: skip
    return Table(
        columns=("arm", *axes, "n", error, *REDUCTION, *others, *links),
        rows=tuple(_row(results, cell, runs_url) for cell in results.cells),
        records=tuple(_record(results, cell) for cell in results.cells),
        notes=tuple(holes),
    )


def estimate_text(estimate: Estimate | None, decimals: int = 2) -> str:
    """Return "2.41 ± 0.12" (mean and SE), the mean alone at n = 1, a dash for a hole."""
    if estimate is None:
        return NONE
    mean = signed(f"{estimate.mean:.{decimals}f}")
    return mean if estimate.se is None else f"{mean} ± {estimate.se:.{decimals}f}"


def signed(number: str) -> str:
    """Write a number's minus as a minus, not as a hyphen."""
    return number.replace("-", "−")


def reduction_text(reduction: Estimate) -> str:
    """Return "0.82 ± 0.10 [0.39, 1.25]": mean, SE and 95 % t interval; the mean alone at n = 1."""
    half = reduction.interval_95
    if half is None:
        return estimate_text(reduction)
    interval = signed(f"[{reduction.mean - half:.2f}, {reduction.mean + half:.2f}]")
    return f"{estimate_text(reduction)} {interval}"


def p_text(p: float | None) -> str:
    """Return a p value with three decimals."""
    return NONE if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _row(results: Results, cell: CellRuns, runs_url: str | None) -> Row:
    axes = [number_text(cell.cell.axes[name]) if name in cell.cell.axes else NONE for name in results.sweep.axes]
    n = Entry(cell.seeds if cell.problems else str(len(cell.runs)), hole="; ".join(cell.problems))
    links = [Entry("", links=_links(cell, runs_url))] if runs_url else []
    return Row((Entry(cell.cell.arm), *map(Entry, axes), n, *_numbers(results, cell), *links))


def _links(cell: CellRuns, runs_url: str) -> tuple[Link, ...]:
    parents = sorted({run.parent_id for run in cell.runs if run.parent_id})
    trials = [Link(str(run.seed), f"{runs_url}/{run.run_id}", f"seed {run.seed}") for run in cell.runs if run.run_id]
    return (*(Link("cell", f"{runs_url}/{parent}") for parent in parents), *trials)


def _numbers(results: Results, cell: CellRuns) -> list[Entry]:
    hole = "; ".join(cell.problems)
    error, *others = (
        Entry(estimate_text(cell.estimate(metric), decimals), hole=hole) for metric, _, decimals in COLUMNS
    )
    comparison = results.comparisons.get(cell.cell.cell_key)
    if comparison is None:
        return [error, Entry(NONE), Entry(NONE), *others]
    bold = comparison.significant
    return [error, Entry(reduction_text(comparison.reduction), bold), Entry(p_text(comparison.p_holm), bold), *others]


def _record(results: Results, cell: CellRuns) -> Mapping[str, object]:
    record: dict[str, object] = {"arm": cell.cell.arm}
    record |= {name: cell.cell.axes.get(name) for name in results.sweep.axes}
    record |= {"seeds_finished": len(cell.finished), "seeds_expected": len(cell.runs)}
    for metric, _, _ in COLUMNS:
        record |= _mean_and_se(metric.removeprefix("test/"), cell.estimate(metric))
    comparison = results.comparisons.get(cell.cell.cell_key)
    reduction = comparison.reduction if comparison else None
    record |= _mean_and_se("reduction", reduction)
    record |= {"reduction_interval_95": reduction.interval_95 if reduction else None}
    record |= {"p": comparison.p if comparison else None, "p_holm": comparison.p_holm if comparison else None}
    return record | {"problems": "; ".join(cell.problems)}


def _mean_and_se(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {name: estimate.mean if estimate else None, f"{name}_se": estimate.se if estimate else None}
