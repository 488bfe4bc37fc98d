"""How small a difference n seeds can show: standard errors, and the power of the paired t test, known exactly.

A cell's mean has SE = sd/sqrt(n). The difference from the baseline, paired by seed, is detected with probability
`POWER` by the two-sided t test at `ALPHA` if it is delta sd_d/sqrt(n), where delta is the noncentrality at which a
noncentral t variable of n - 1 degrees of freedom is beyond the critical value (Cohen, Statistical Power Analysis,
1988). Holm's worst case is that of the smallest p value of m comparisons: alpha/m.

Both standard deviations begin with the prior's and are pooled with those of finished cells, by degrees of freedom. The
prior counts `PRIOR_FREEDOM` of them; its differences have sqrt(2) seed_sd, as if pairing gained nothing. Differences
share the baseline's trials, so theirs are known less well than their number says. Standard library only: scipy takes
longer to import than `plan` may take.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import atan, cos, erf, exp, fsum, pi, sqrt

POWER = 0.8
ALPHA = 0.05
PRIOR_FREEDOM = 2  # as much as one cell of three seeds tells
MOST_FREEDOM = 100  # beyond, the value at 100: 1.2 % too wide at most, 8 % in Holm's worst case of 1,000


@dataclass(frozen=True)
class Spread:
    """Standard deviations in points: of a cell between seeds, and of differences from the baseline paired by seed.

    `cells` and `pairs`: how many finished cells each was learnt from.
    """

    seed_sd: float
    difference_sd: float
    cells: int
    pairs: int


@dataclass(frozen=True)
class Detectable:
    """What n seeds give, in points: SE of a cell, least difference detected alone and as the least of Holm's.

    None at n = 1, where there is no test.
    """

    n: int
    se: float | None
    alone: float | None
    holm: float | None


def spread(
    cells: Iterable[Sequence[float]], differences: Iterable[Sequence[float]], seed_sd: float | None
) -> Spread | None:
    """Return the spreads from the values of every finished cell and its differences from the baseline.

    `seed_sd` is the prior's. None if there is neither a prior nor a cell with two finished seeds.
    """
    known, paired = [_some(values) for values in (cells, differences)]
    prior = None if seed_sd is None else seed_sd**2
    within = _pooled(known, prior)
    if within is None:
        return None
    between = _pooled(paired, None if prior is None else 2 * prior) if paired else None
    return Spread(sqrt(within), sqrt(2 * within if between is None else between), len(known), len(paired))


def detectable(found: Spread, n: int, comparisons: int) -> Detectable:
    """Return what n seeds give in a sweep with so many comparisons."""
    if n < 2:
        return Detectable(n, None, None, None)
    difference_se = found.difference_sd / sqrt(n)
    freedom = min(n - 1, MOST_FREEDOM)
    alone, holm = (noncentrality(freedom, ALPHA / m) * difference_se for m in (1, max(comparisons, 1)))
    return Detectable(n, found.seed_sd / sqrt(n), alone, holm)


@cache
def noncentrality(freedom: int, alpha: float, power: float = POWER) -> float:
    """Return the noncentrality at which a two-sided t test at level alpha has this power."""
    critical = t_critical(freedom, alpha)
    low, high = 0.0, 2.0
    while t_power(freedom, critical, high) < power:
        low, high = high, 2 * high
    return _bisected(lambda delta: t_power(freedom, critical, delta) < power, low, high)


def t_power(freedom: int, critical: float, delta: float) -> float:
    """Return the chance that |T| > critical for a noncentral t variable T = (Z + delta) / sqrt(V / freedom).

    It is the mean over Z of P(V < freedom (Z + delta)^2 / critical^2), by the trapezoidal rule, which is exact to many
    digits where the integrand is smooth: steps are small against both Z's and V's spread.
    """
    step = min(0.25, 0.35 * critical / sqrt(2 * freedom))
    count = int(7 / step)
    nodes = (index * step for index in range(-count, count + 1))
    return fsum(
        exp(-z * z / 2) * _chi_square_cdf(freedom * ((z + delta) / critical) ** 2, freedom) for z in nodes
    ) * step / sqrt(2 * pi)  # fmt: skip


def t_critical(freedom: int, alpha: float) -> float:
    """Return the value that |T| exceeds with probability alpha, for Student's t."""
    high = 2.0
    while _t_inside(high, freedom) < 1 - alpha:
        high *= 2
    return _bisected(lambda t: _t_inside(t, freedom) < 1 - alpha, 0.0, high)


def _some(values: Iterable[Sequence[float]]) -> list[Sequence[float]]:
    return [each for each in values if len(each) > 1]


def _pooled(groups: Sequence[Sequence[float]], prior: float | None) -> float | None:
    """Return the variance pooled over groups and prior by degrees of freedom, None if there are none."""
    freedom = sum(len(group) - 1 for group in groups) + (0 if prior is None else PRIOR_FREEDOM)
    squares = fsum((value - fsum(group) / len(group)) ** 2 for group in groups for value in group)
    return (squares + PRIOR_FREEDOM * (prior or 0.0)) / freedom if freedom else None


def _t_inside(t: float, freedom: int) -> float:
    """Return P(|T| < t) of Student's t, in closed form (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = atan(t / sqrt(freedom))
    cosine = cos(angle)
    term, total = (1.0, 1.0) if freedom % 2 == 0 else (cosine, cosine)
    for j in range(2 + freedom % 2, freedom - 1, 2):
        term *= cosine**2 * (j - 1) / j
        total += term
    sine = t / sqrt(freedom + t * t)
    if freedom % 2 == 0:
        return sine * total
    return 2 / pi * (angle + (sine * total if freedom > 1 else 0.0))


def _chi_square_cdf(x: float, freedom: int) -> float:
    """Return P(V < x) of chi square with whole degrees of freedom, in closed form (26.4.4 and 26.4.5)."""
    half = x / 2
    if half > 700:
        return 1.0
    even = freedom % 2 == 0
    term = 1.0 if even else 2 * sqrt(half / pi)
    total = term if freedom > 1 else 0.0
    for j in range(2 + freedom % 2, freedom - 1, 2):
        term *= x / j
        total += term
    return (1.0 if even else erf(sqrt(half))) - exp(-half) * total


def _bisected(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """Return, to 32 bits of the interval, where `is_below` turns from true to false."""
    for _ in range(32):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return high
