"""Whether a mean over our seeds agrees with a published one: Welch's t test from summary statistics.

The published mean and SE are rounded, so the printed digits stand for intervals. Ours differs only if it does for every
number that would be printed like that: half a unit of the last digit is taken off the difference, and of the p values
for the smallest, the printed and the largest SE the largest counts. Where the paper prints no SE or no n there is no
test; then the words say whether the number lies in our own 95 % interval. Verdicts are not corrected for their number:
of true agreements one in twenty differs.
"""

from dataclasses import dataclass
from math import sqrt

from scipy.special import stdtr, stdtrit

from analysis.compare import NO_SPREAD, SIGNIFICANT
from analysis.published import PublishedNumber
from softaug.estimate import Estimate


@dataclass(frozen=True)
class Verdict:
    """`difference`: ours minus published, None without both. `interval_95`, `p`: of Welch's test, None without one.

    `agrees` is None where it cannot be said; `words` say why.
    """

    words: str
    agrees: bool | None = None
    difference: float | None = None
    interval_95: float | None = None
    p: float | None = None


def verdict(ours: Estimate, paper: PublishedNumber) -> Verdict:
    """Return how a mean of ours compares with a published one of the same setting; both in the same unit."""
    if paper.mean is None:
        return Verdict("the paper's runs diverged, these did not", agrees=False)
    difference = ours.mean - paper.mean
    if ours.se is None:
        return Verdict("not tested: one seed", difference=difference)
    if paper.largest_se is None or paper.n_runs is None:
        return _by_our_interval(ours, paper, difference)
    return _by_welch(ours, paper, difference, paper.largest_se, paper.n_runs)


def welch(a: Estimate, b: Estimate, *, slack: float = 0.0) -> tuple[float, float]:
    """Return the two-sided p value of Welch's t test that two means are equal, and the half-width of the difference's
    95 % interval. `slack` is taken off the difference's size. Raises ValueError without a standard error that is not 0.
    """
    se_a, se_b = a.se or 0.0, b.se or 0.0
    if max(se_a, se_b) < NO_SPREAD:
        raise ValueError("no spread between seeds: nothing to test with")
    se = sqrt(se_a**2 + se_b**2)
    parts = [(each**4, n - 1) for each, n in ((se_a, a.n), (se_b, b.n)) if each > 0]
    freedom = se**4 / sum(part / degrees for part, degrees in parts)
    t = max(0.0, abs(a.mean - b.mean) - slack) / se
    return float(2 * stdtr(freedom, -t)), float(stdtrit(freedom, 0.975) * se)


def _by_welch(ours: Estimate, paper: PublishedNumber, difference: float, se: float, n: int) -> Verdict:
    mean = ours.mean - difference
    largest = se if paper.se is None else se + paper.rounding
    possible = [Estimate(mean, each, n) for each in (max(0.0, se - paper.rounding), se, largest)]
    tests = [
        welch(ours, each, slack=paper.rounding) for each in possible if max(ours.se or 0.0, each.se or 0.0) >= NO_SPREAD
    ]
    if not tests:
        return Verdict("not tested: no spread between seeds", difference=difference)
    p = max(p for p, _ in tests)
    agrees = p >= SIGNIFICANT
    words = f"agrees ({_p(p)})" if agrees else f"differs ({_p(p)})"
    return Verdict(words, agrees, difference, welch(ours, possible[-1])[1], p)


def _by_our_interval(ours: Estimate, paper: PublishedNumber, difference: float) -> Verdict:
    half = ours.interval_95 or 0.0
    inside = abs(difference) <= half + paper.rounding
    lacking = "SE" if paper.largest_se is None else "n"
    words = f"no published {lacking}: {'inside' if inside else 'outside'} our interval"
    return Verdict(words, inside, difference, half)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
