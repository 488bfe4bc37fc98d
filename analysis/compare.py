"""Comparisons with the baseline, or with the arm that a cell is to be compared with, paired by seed.

The seeds of a sweep share their random numbers (common random numbers), so the difference is taken seed by seed:
reduction = baseline error - cell error, in points of top-1 error; positive is better. The p value is that of the paired
two-sided t test, corrected by Holm's method over all comparisons of the sweep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtr  # scipy.stats takes a second to import; its t test is this function

from analysis.cells import CellRuns
from softaug.estimate import Estimate, estimate
from sweeps.resolved import ResolvedSweep

ERROR = "test/top1_error"
SIGNIFICANT = 0.05
NO_SPREAD = 1e-9  # points; an SE below this is rounding: equal differences cannot be tested


@dataclass(frozen=True)
class Comparison:
    """A cell against its baseline. p values are None where there is no test: one seed, or no spread."""

    by_seed: Mapping[int, float]
    reduction: Estimate
    p: float | None
    p_holm: float | None

    @property
    def significant(self) -> bool:
        """True only if a test says so after Holm's correction."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANT


def compare(cells: Sequence[CellRuns], sweep: ResolvedSweep) -> dict[str, Comparison]:
    """Return the comparisons of the sweep, by cell key, but for those of which one of the two cells is a hole."""
    values = {cell.cell.cell_key: cell.values(ERROR) for cell in cells}
    pairs = {cell.cell_key: (values[cell.cell_key], values[base.cell_key]) for cell, base in sweep.comparisons}
    by_seed = {
        key: {seed: base[seed] - error for seed, error in own.items()}
        for key, (own, base) in pairs.items()
        if own and base
    }
    reductions = {key: estimate(values.values()) for key, values in by_seed.items()}
    p_values = {key: paired_p(reduction) for key, reduction in reductions.items()}
    tested = {key: p for key, p in p_values.items() if p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {
        key: Comparison(by_seed[key], reductions[key], p_values[key], corrected.get(key)) for key in by_seed
    }  # fmt: skip


def paired_p(difference: Estimate) -> float | None:
    """Return the two-sided p value of Student's t test that the mean difference is zero."""
    if difference.se is None or difference.se < NO_SPREAD:
        return None
    return float(2 * stdtr(difference.n - 1, -abs(difference.mean / difference.se)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for multiple comparisons by Holm's step-down method (1979), in the order given."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
