"""What seeds can show: against scipy's t, chi square and noncentral t, and against simulated sweeps."""

import random
from math import sqrt
from statistics import stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from sweeps.plan import detectable as module
from sweeps.plan.detectable import Detectable, Spread, detectable, noncentrality, spread, t_critical, t_power

FREEDOMS = (1, 2, 3, 4, 5, 8, 11, 30, 99, 100)
SPREAD = Spread(0.5, 0.6, 4, 3)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_quantiles_and_chi_square_are_those_of_scipy(freedom: int) -> None:
    for alpha in (0.05, 0.05 / 15, 0.05 / 85, 0.05 / 1000):
        assert t_critical(freedom, alpha) == pytest.approx(stats.t.isf(alpha / 2, freedom), rel=1e-7)
    for x in (0.0, 0.01, 1.0, 7.0, 30.0, 130.0, 2000.0):
        assert module._chi_square_cdf(x, freedom) == pytest.approx(stats.chi2.cdf(x, freedom), abs=1e-12)


@pytest.mark.parametrize("freedom", FREEDOMS)
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 85])
def test_power_is_that_of_the_noncentral_t_by_another_integral(freedom: int, alpha: float) -> None:
    """scipy's own noncentral t is nan in places; this is its definition, over V instead of Z."""
    critical = float(stats.t.isf(alpha / 2, freedom))
    delta = noncentrality(freedom, alpha)

    def given(probability: float) -> float:
        bound = critical * sqrt(stats.chi2.ppf(probability, freedom) / freedom)
        return float(stats.norm.sf(bound - delta) + stats.norm.cdf(-bound - delta))

    step = [float(stats.chi2.cdf(freedom * (delta / critical) ** 2, freedom))]
    power, _ = integrate.quad(given, 0, 1, points=step, limit=400)
    assert power == pytest.approx(0.8, abs=1e-5)
    found = stats.nct.sf(critical, freedom, delta)
    assert np.isnan(found) or found == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize(("n", "comparisons"), [(3, 1), (6, 1), (4, 15)])
def test_simulated_differences_of_that_size_are_detected_four_times_of_five(n: int, comparisons: int) -> None:
    numbers = np.random.default_rng(n)
    found = detectable(SPREAD, n, comparisons)
    size = found.holm
    assert size is not None
    assert (comparisons > 1) == (size != found.alone)
    drawn = numbers.normal(size, SPREAD.difference_sd, (20_000, n))
    p_values = stats.ttest_1samp(drawn, 0.0, axis=1).pvalue
    assert np.mean(p_values < 0.05 / comparisons) == pytest.approx(0.8, abs=0.01)


def test_golden_power() -> None:
    assert t_power(10, stats.t.isf(0.025, 10), 0.0) == pytest.approx(0.05, abs=1e-9)
    # Cohen's d = 0.5 takes 34 pairs for a power of 0.80 (G*Power, paired t test, two-sided): 0.8078.
    assert t_power(33, t_critical(33, 0.05), 0.5 * sqrt(34)) == pytest.approx(0.8078, abs=1e-4)


def test_one_seed_shows_nothing() -> None:
    assert detectable(SPREAD, 1, 5) == Detectable(1, None, None, None)


@given(st.integers(2, 60), st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_more_seeds_show_smaller_differences_and_more_comparisons_larger_ones(n: int, comparisons: int) -> None:
    fewer, more = (detectable(SPREAD, each, comparisons) for each in (n, n + 1))
    for name in ("se", "alone", "holm"):
        assert getattr(more, name) < getattr(fewer, name)
    assert fewer.se == pytest.approx(0.5 / sqrt(n))
    assert detectable(SPREAD, n, comparisons + 1).holm > fewer.holm >= fewer.alone


def test_beyond_the_most_degrees_of_freedom_the_value_is_a_little_wide_and_still_falls() -> None:
    found, exact = detectable(SPREAD, 1000, 1), 2.8016 * 0.6 / sqrt(1000)
    assert found.alone is not None
    assert exact < found.alone < 1.015 * exact


def test_spreads_are_pooled_by_degrees_of_freedom() -> None:
    found = spread([[1.0, 3.0], [5.0, 5.0, 8.0], [4.0]], [[0.0, 1.0]], None)
    assert found is not None
    assert found.seed_sd == pytest.approx(sqrt((2.0 + 6.0) / 3))
    assert found.difference_sd == pytest.approx(sqrt(0.5))
    assert (found.cells, found.pairs) == (2, 1)


def test_the_prior_counts_as_two_degrees_of_freedom_and_no_pair_means_independent_ones() -> None:
    assert spread([], [], 0.3) == Spread(0.3, pytest.approx(0.3 * sqrt(2)), 0, 0)
    found = spread([[1.0, 3.0]], [], 0.3)
    assert found is not None
    assert found.seed_sd == pytest.approx(sqrt((2 * 0.09 + 2.0) / 3))
    assert found.difference_sd == pytest.approx(sqrt(2) * found.seed_sd)
    paired = spread([[1.0, 3.0]], [[0.0, 1.0]], 0.3)
    assert paired is not None
    assert paired.difference_sd == pytest.approx(sqrt((2 * 2 * 0.09 + 0.5) / 3))
    alone = spread([[1.0, 3.0]], [], None)
    assert alone is not None
    assert alone.difference_sd == pytest.approx(2.0), "two independent cells"
    assert spread([[1.0]], [[0.5]], None) is None


def test_the_pooled_spread_finds_the_truth_in_simulated_cells() -> None:
    numbers = random.Random(1)
    cells = [[numbers.gauss(mean, 0.4) for _ in range(3)] for mean in range(400)]
    found = spread(cells, [], 0.8)
    assert found is not None
    assert found.seed_sd == pytest.approx(0.4, rel=0.1)
    assert found.seed_sd < stdev([value for cell in cells for value in cell])
