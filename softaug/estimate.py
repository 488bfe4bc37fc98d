"""Mean, standard error and count over seeds: the only statistics a number is ever printed with.

Standard error is std(ddof=1)/sqrt(n) (D29), None at n = 1. Standard library only, so that `plan` and `status`
need no scipy; a test compares the t quantiles with scipy's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum, isfinite, sqrt

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom: half-widths of 95 % intervals.
T_975 = (
    12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139,
    2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922, 2.093024, 2.085963,
    2.079614, 2.073873, 2.068658, 2.063899, 2.059539, 2.055529, 2.051831, 2.048407, 2.045230, 2.042272,
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds with its standard error (None at n = 1)."""

    mean: float
    se: float | None
    n: int

    @property
    def interval_95(self) -> float | None:
        """Half-width of the 95 % t interval, None at n = 1."""
        return None if self.se is None else t_975(self.n - 1) * self.se


def estimate(values: Iterable[float]) -> Estimate:
    """Return mean, standard error and count of one value per seed.

    Raises ValueError for no values or one that is not finite: a hole is never averaged.
    """
    known = list(values)
    if not known:
        raise ValueError("no values to average: a cell without finished seeds has no estimate")
    if not all(isfinite(value) for value in known):
        raise ValueError(f"values must be finite, got {known}: leave a diverged seed out and show the hole")
    n = len(known)
    mean = fsum(known) / n
    if n == 1:
        return Estimate(mean, None, 1)
    variance = fsum((value - mean) ** 2 for value in known) / (n - 1)
    return Estimate(mean, sqrt(variance / n), n)


def t_975(degrees_of_freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t; beyond 30 degrees of freedom the value at 30, a little wide."""
    if degrees_of_freedom < 1:
        raise ValueError(f"degrees of freedom must be at least 1, got {degrees_of_freedom}")
    return T_975[min(degrees_of_freedom, len(T_975)) - 1]
