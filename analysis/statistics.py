"""The statistics of tables and figures for notebooks: pandas in, pandas out.

    runs = read(open_store("runs"), "quickstart@laptop", tracking_uri="sqlite:///runs/mlflow.db")
    cells(runs)                                  # mean, SE, n and 95 % interval per cell
    compare(baseline, other)                     # paired by seed
    detectable_effect(n=3, sd=0.2)               # before running more

The rules are those of the report: SE with ddof = 1, none at n = 1; a cell that lacks a seed is a hole without a mean;
what is compared is paired by seed. Nothing here corrects for many comparisons: `analysis.compare.holm` does.
"""

from math import sqrt

import pandas as pd
from mlflow import MlflowClient

from analysis.compare import paired_p
from analysis.results import read_results
from softaug.estimate import Estimate, estimate
from sweeps import launched
from sweeps.plan.detectable import ALPHA, MOST_FREEDOM, POWER, noncentrality
from trainables.store import Store

ERROR = "test/top1_error"
FINISHED = "finished"
NOT_OF_A_CELL = ("seed", "state", "reason", "seconds")  # even where they are equal in every cell


def read(store: Store, experiment: str, *, tracking_uri: str) -> pd.DataFrame:
    """Return the runs of a launched sweep, "name@scale", as MLflow holds them: a row per expected trial.

    Columns: arm, one per axis (NaN where the arm has none), cell_key, seed, state, reason, the test metrics (percent,
    nats; NaN unless finished), seconds. Raises LookupError if the store does not have that sweep.
    """
    sweep = launched.read(store, experiment)
    if sweep is None:
        known = ", ".join(each.experiment for each in launched.saved(store)) or "none"
        raise LookupError(f"{store.location} has no sweep {experiment!r}; it has {known}")
    results = read_results(sweep, MlflowClient(tracking_uri))
    return pd.DataFrame(
        {
            "arm": cell.cell.arm,
            **{axis: cell.cell.axes.get(axis) for axis in sweep.axes},
            "cell_key": run.cell_key,
            "seed": run.seed,
            "state": run.state,
            "reason": run.reason,
            **run.metrics,
            "seconds": run.seconds,
        }
        for cell in results.cells
        for run in cell.runs
    )


def cells(runs: pd.DataFrame, metric: str = ERROR, *, by: str = "cell_key") -> pd.DataFrame:
    """Return a row per cell, in the order of the runs: mean, se, n, low and high (95 % t interval), seeds ("2/3").

    `runs` needs the columns `by`, seed, state and the metric; columns that are equal within every cell come along. A
    cell with a run that is not finished, or lacks the metric, is a hole: NaN in all numbers. `se`, `low`, `high` are
    NaN at n = 1. Raises ValueError if a column is missing, or a cell has a seed twice.
    """
    _check(runs, [by, "seed", "state", metric])
    grouped = runs.groupby(by, sort=False)
    shared = [name for name in runs.columns if name == by or grouped[name].nunique(dropna=False).le(1).all()]
    named = [name for name in shared if name not in NOT_OF_A_CELL]
    return pd.DataFrame({**group.iloc[0][named].to_dict(), **_cell(group, metric)} for _, group in grouped)


def compare(a: pd.Series, b: pd.Series) -> pd.Series:
    """Return by how much b is less than a, seed by seed: mean, se, n, low, high (95 % t interval), p.

    Both hold one number per seed, with the seeds as index, in any order; positive is better for errors. p is that of
    the two-sided paired t test, NaN where there is no test: one seed, or no spread. Raises ValueError if the seeds
    differ: they are paired, so a seed that one lacks must be left out of both, and said.
    """
    for name, values in (("a", a), ("b", b)):
        if not values.index.is_unique or values.isna().any():
            raise ValueError(f"{name} needs one number for each seed, got {values.to_dict()}")
    if set(a.index) != set(b.index):
        raise ValueError(f"a and b are paired by seed, but a has {sorted(a.index)} and b has {sorted(b.index)}")
    difference = estimate(float(value) for value in a - b.reindex(a.index))
    p = paired_p(difference)
    return pd.Series(_numbers(difference) | {"p": float("nan") if p is None else p})


def detectable_effect(n: int, sd: float, *, power: float = POWER, alpha: float = ALPHA, comparisons: int = 1) -> float:
    """Return the least mean difference that a two-sided paired t test over n seeds detects with this power.

    `sd`: standard deviation of the difference between seeds, whose unit the answer has; without pairing it is sqrt(2)
    times that of one cell. `comparisons`: of as many, the one with the least p value has to stand Holm's correction.
    Known exactly up to n = 101, a little too large beyond. Raises ValueError for n < 2, a negative sd, or chances
    that are none.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}: one seed has no spread to test against")
    if sd < 0 or comparisons < 1 or not 0 < alpha < power < 1:
        raise ValueError(
            "sd must be at least 0, comparisons at least 1, and 0 < alpha < power < 1, "
            f"got sd {sd}, comparisons {comparisons}, alpha {alpha}, power {power}"
        )
    return noncentrality(min(n - 1, MOST_FREEDOM), alpha / comparisons, power) * sd / sqrt(n)


def _cell(group: pd.DataFrame, metric: str) -> dict[str, object]:
    if group["seed"].duplicated().any():
        raise ValueError(f"a cell has a seed twice: {group['seed'].tolist()}; are these runs of several cells?")
    known = group.loc[group["state"] == FINISHED, metric].dropna()
    seeds = f"{len(known)}/{len(group)}"
    if len(known) < len(group):
        return dict.fromkeys(("mean", "se", "low", "high"), float("nan")) | {"n": 0, "seeds": seeds}
    return _numbers(estimate(known.astype(float))) | {"seeds": seeds}


def _numbers(known: Estimate) -> dict[str, float]:
    nan, half = float("nan"), known.interval_95
    bounds = (nan, nan) if half is None else (known.mean - half, known.mean + half)
    se = nan if known.se is None else known.se
    return {"mean": known.mean, "se": se, "n": known.n, "low": bounds[0], "high": bounds[1]}


def _check(runs: pd.DataFrame, needed: list[str]) -> None:
    if lacking := [name for name in needed if name not in runs.columns]:
        raise ValueError(f"runs lack {', '.join(lacking)}; they have {', '.join(map(str, runs.columns))}")
