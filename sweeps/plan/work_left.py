"""The forecast of a sweep as it stands: its trials from the ledger, and what this machine can run at once.

`softaug plan`, the view of a launch and a launch's estimate all ask here. No Ray, so it answers at once.
"""

import os
from collections.abc import Collection
from pathlib import Path

from sweeps.launch.cluster import fitting
from sweeps.plan.detectable import Spread, spread
from sweeps.plan.forecast import Forecast, Work, forecast
from sweeps.resolved import Cell, Resources
from sweeps.search.cells import ARM, WINNER
from sweeps.search.future import future
from sweeps.survey import Survey, TrialState, TrialStatus
from trainables.launches import CostEstimate
from trainables.ledger import TrialFolder
from trainables.store import Store

ERROR = "test/top1_error"
MEASURED_TRIALS = 20
AGAIN: Collection[TrialState] = ("failed", "diverged")
NVIDIA = Path("/proc/driver/nvidia/gpus")
HOW_TO_KNOW = "give a prior in the sweep file, such as `prior: {minutes_per_trial: 10, factor: 2}`"


def work(now: Survey, *, retry_failed: bool = False) -> list[Work]:
    """Return the trials of a sweep in their order; with `retry_failed` those that failed are to do again, in full."""
    resources = now.sweep.resources
    return [
        _work(cell, seed, now.trials[key], resources, retry_failed=retry_failed)
        for cell in now.sweep.all_cells
        for seed, key in cell.trials.items()
    ]


def forecast_of(now: Survey, *, retry_failed: bool = False) -> Forecast:
    """Return what is left of a sweep as it stands."""
    trials = work(now, retry_failed=retry_failed)
    return forecast(trials, now.sweep.prior, now.sweep.resources, future=future(now.sweep))


def cost_estimate(expected: Forecast, resources: Resources) -> CostEstimate | None:
    """Return what a launch keeps of its forecast, None if there is nothing to do or nothing known of it."""
    if not expected.to_do or not expected.known:
        return None
    left = expected.left
    return CostEstimate(
        unit=expected.unit,
        devices=resources.gpus or resources.cpus,
        trials=expected.to_do,
        hours=left.value,
        low=left.low,
        high=left.high,
    )


def slots_here(resources: Resources) -> int:
    """Return how many trials this machine fits at once, at least 1."""
    gpus = len(list(NVIDIA.iterdir())) if NVIDIA.is_dir() else 0
    return max(fitting({"CPU": os.cpu_count() or 1, "GPU": gpus}, resources), 1)


def disk_mb_left(store: Store, now: Survey) -> float | None:
    """Return what the trials to do will leave in the store, in MB; None if neither prior nor a finished trial tells.

    A finished trial takes what a few of them, spread over the sweep, take on average, with all their files.
    """
    left = sum(now.count(state) for state in ("running", "pending")) + sum(count for _, count in future(now.sweep))
    finished = [key for key, trial in now.trials.items() if trial.state == "finished"]
    measured = finished[:: len(finished) // MEASURED_TRIALS + 1]
    if measured:
        return left * sum(_bytes(store, key) for key in measured) / len(measured) / 1e6
    prior = now.sweep.prior
    return None if prior is None or prior.disk_mb_per_trial is None else left * prior.disk_mb_per_trial


def spread_of(now: Survey) -> Spread | None:
    """Return how much the test error varies between seeds, and its paired differences, in points."""
    errors = {cell.cell_key: _errors(now, cell) for cell in now.sweep.cells}
    pairs = [(errors[cell.cell_key], errors[base.cell_key]) for cell, base in now.sweep.comparisons]
    differences = [[base[seed] - error for seed, error in each.items() if seed in base] for each, base in pairs]
    prior = now.sweep.prior
    return spread([list(each.values()) for each in errors.values()], differences, prior.seed_sd if prior else None)


def _work(cell: Cell, seed: int, trial: TrialStatus, resources: Resources, *, retry_failed: bool) -> Work:
    again = retry_failed and trial.state in AGAIN
    end = trial.end
    like = end is None or end.device == "unknown" or (end.device == "cpu") == (resources.gpus == 0)
    return Work(
        recipe=cell.recipe,
        state="pending" if again else trial.state,
        seconds=trial.seconds,
        epochs=0 if again else trial.epochs,
        factors=_factors(cell, seed),
        like_devices=like,
    )


def _factors(cell: Cell, seed: int) -> dict[str, str]:
    """Return what a trial's cost is summed by; all that a search asks for is one."""
    if cell.arm == ARM:
        return {"arm": ARM}
    axes = {} if cell.arm.startswith(WINNER) else {axis: _text(value) for axis, value in cell.axes.items()}
    return {"arm": cell.arm, **axes, "seed": str(seed)}


def _text(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _errors(now: Survey, cell: Cell) -> dict[int, float]:
    """Return the test error of a cell's finished seeds, in percent."""
    ends = {seed: now.trials[key].end for seed, key in cell.trials.items() if now.trials[key].state == "finished"}
    return {seed: end.metrics[ERROR] for seed, end in ends.items() if end is not None and ERROR in end.metrics}


def _bytes(store: Store, key: str) -> int:
    return store.bytes_in(TrialFolder(store, key).path)
