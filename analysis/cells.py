"""Cells: the runs of one recipe over its seeds, and the only means that are ever shown.

A cell of which a seed is missing, failed or diverged, or whose seeds differ in what must be equal, is a hole: it has
no estimate at all, so that no mean over fewer seeds slips into a table or figure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analysis.runs import TrialRun
from softaug.estimate import Estimate, estimate
from sweeps.resolved import Axis, Cell, ResolvedSweep, short

# Else the seeds are not repetitions of one thing. Precision is part of the recipe, so of the cell.
MUST_BE_EQUAL = ("epochs", "data_fingerprint", "device class", "torch")
SHOULD_BE_EQUAL = ("device", "cpu")  # else shown as a warning, numbers kept


@dataclass(frozen=True)
class CellRuns:
    """One cell and its runs, one per seed in the sweep's order."""

    cell: Cell
    runs: tuple[TrialRun, ...]

    @property
    def finished(self) -> tuple[TrialRun, ...]:
        return tuple(run for run in self.runs if run.state == "finished")

    @property
    def seeds(self) -> str:
        """Seeds finished of seeds expected: "2/3"."""
        return f"{len(self.finished)}/{len(self.runs)}"

    @property
    def problems(self) -> list[str]:
        """Why the cell is a hole, one reason each; empty for a complete cell."""
        lost = [f"seed {run.seed} {run.ending}" for run in self.runs if run.state != "finished"]
        return lost + [f"seeds differ in {text}" for text in differences(self.finished, MUST_BE_EQUAL)]

    @property
    def warnings(self) -> list[str]:
        """Facts that differ between seeds but do not make the cell a hole."""
        return [f"seeds differ in {text}" for text in differences(self.finished, SHOULD_BE_EQUAL)]

    def values(self, metric: str) -> dict[int, float]:
        """Return the metric by seed, empty for a hole and for what was not measured of every seed."""
        if self.problems or any(metric not in run.metrics for run in self.runs):
            return {}
        return {run.seed: run.metrics[metric] for run in self.runs}

    def estimate(self, metric: str) -> Estimate | None:
        """Return mean, SE and n of the metric, None for a hole."""
        values = self.values(metric)
        return estimate(values.values()) if values else None


def gather(sweep: ResolvedSweep, runs: Iterable[TrialRun]) -> tuple[CellRuns, ...]:
    """Return the sweep's cells with their runs, whatever the order of `runs`."""
    by_key = {run.trial_key: run for run in runs}
    return tuple(CellRuns(cell, tuple(by_key[key] for key in cell.trials.values())) for cell in sweep.cells)


def differences(runs: Sequence[TrialRun], facts: Iterable[str]) -> list[str]:
    """Return a text for each fact that the runs do not share: "torch: 2.14.1 (seeds 0, 1), 2.13.0 (seed 2)"."""
    texts = []
    for fact in facts:
        seeds_of: dict[str, list[str]] = {}
        for run in runs:
            seeds_of.setdefault(_fact(run, fact), []).append(str(run.seed))
        if len(seeds_of) > 1:
            texts.append(f"{fact}: " + ", ".join(f"{value} ({_seeds(seeds)})" for value, seeds in seeds_of.items()))
    return texts


def describe(cell: Cell, axes: Mapping[str, Axis], *, without: str | None = None) -> str:
    """Return the cell's name: "soft target, σ = 0.3, k = 2"; `without` leaves one axis out."""
    return ", ".join(
        [cell.arm, *(axis_text(axes, name, value) for name, value in cell.axes.items() if name != without)]
    )


def axis_text(axes: Mapping[str, Axis], name: str, value: float | int | str) -> str:
    """Return "σ = 0.3"."""
    return f"{axes[name].label} = {number_text(value)}"


def number_text(value: float | int | str) -> str:
    """Return an axis value without trailing zeros and with three significant digits: 2.0 -> "2", 0.7374 -> "0.737"."""
    return short(value) if isinstance(value, str | int) else f"{float(short(value)):g}"


def _fact(run: TrialRun, fact: str) -> str:
    if fact == "device class":  # all GPUs are of one class
        return "CPU" if run.facts["device"] == "cpu" else "GPU"
    return run.facts[fact]


def _seeds(seeds: Sequence[str]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"
