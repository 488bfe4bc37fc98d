"""Comparisons with the baseline: paired, tested, corrected."""

from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic import finished, lose, quickstart

from analysis.compare import compare, holm, paired_p
from analysis.results import results_of
from softaug.estimate import Estimate, estimate

SWEEP = quickstart(sigmas=(0.3,))
BASE = [3.2, 3.5, 3.0]
HARD = [4.1, 4.2, 3.9]


def pair(base: list[float], cell: list[float]) -> dict:
    sweep = SWEEP.model_copy(update={"cells": SWEEP.cells[:2]})
    results = results_of(sweep, finished(sweep.cells[0], base) + finished(sweep.cells[1], cell))
    return dict(results.comparisons)


def test_the_paired_test_is_scipys() -> None:
    comparison = pair(BASE, HARD)[SWEEP.cells[1].cell_key]
    oracle = stats.ttest_rel(BASE, HARD)
    interval = oracle.confidence_interval(0.95)
    assert comparison.p == pytest.approx(oracle.pvalue)
    assert comparison.reduction.mean == pytest.approx(-0.8333333)
    assert comparison.reduction.mean - comparison.reduction.interval_95 == pytest.approx(interval.low, rel=1e-6)
    assert comparison.reduction.mean + comparison.reduction.interval_95 == pytest.approx(interval.high, rel=1e-6)
    assert comparison.by_seed == pytest.approx({0: -0.9, 1: -0.7, 2: -0.9})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=8).filter(lambda values: max(values) - min(values) > 1e-3))
def test_p_is_scipys_for_any_differences(differences: list[float]) -> None:
    assert paired_p(estimate(differences)) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=1e-12)


def test_pairing_removes_what_seeds_share() -> None:
    shared = [0.0, 5.0, 10.0]
    comparison = pair([3.2 + s for s in shared], [3.0 + s + d for s, d in zip(shared, (0, 0.01, -0.01), strict=True)])
    assert comparison[SWEEP.cells[1].cell_key].reduction.se == pytest.approx(0.01 / sqrt(3))


@pytest.mark.parametrize("untested", [Estimate(0.8, None, 1), Estimate(0.8, 0.0, 3), Estimate(0.8, 1e-16, 3)])
def test_one_seed_or_no_spread_is_no_test(untested: Estimate) -> None:
    assert paired_p(untested) is None


def test_a_difference_without_spread_is_never_significant() -> None:
    """3.3 - 2.2 and 4.4 - 3.3 differ by rounding only; a t of 1e15 would say p = 0."""
    comparison = pair([3.3, 4.4, 5.5], [2.2, 3.3, 4.4])[SWEEP.cells[1].cell_key]
    assert comparison.p is None
    assert not comparison.significant


def test_holm_by_hand() -> None:
    """0.01 x 4; 0.02 x 3; 0.03 x 2, but not below the one before; 0.04 x 1, the same."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_as_the_procedure_does(p_values: list[float], level: float) -> None:
    rejected = set()
    for i, index in enumerate(sorted(range(len(p_values)), key=lambda j: p_values[j])):
        if p_values[index] * (len(p_values) - i) >= level:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(holm(p_values)) if p < level} == rejected


def test_the_family_is_all_comparisons_of_the_sweep() -> None:
    runs = finished(SWEEP.cells[0], BASE)
    for cell in SWEEP.cells[1:]:
        runs += finished(cell, HARD)
    comparisons = results_of(SWEEP, runs).comparisons
    assert len(comparisons) == 5
    for comparison in comparisons.values():
        assert comparison.p_holm == pytest.approx(5 * comparison.p)


def test_a_cell_is_paired_with_the_arm_it_is_against() -> None:
    """The third arm against the second: the first, as the sweep's baseline, is in no difference of it."""
    cells = [SWEEP.cells[0], SWEEP.cells[1], SWEEP.cells[2].model_copy(update={"against": SWEEP.cells[1].arm})]
    sweep = SWEEP.model_copy(update={"cells": cells})
    soft = [3.9, 4.1, 3.5]
    runs = finished(cells[0], BASE) + finished(cells[1], HARD) + finished(cells[2], soft)
    [(key, comparison)] = results_of(sweep, runs).comparisons.items()
    assert key == cells[2].cell_key
    assert comparison.by_seed == pytest.approx({0: 0.2, 1: 0.1, 2: 0.4})
    assert comparison.p_holm == comparison.p == pytest.approx(stats.ttest_rel(HARD, soft).pvalue)


@pytest.mark.parametrize("hole", [0, 1])
def test_a_hole_is_not_compared(hole: int) -> None:
    sweep = SWEEP.model_copy(update={"cells": SWEEP.cells[:2]})
    runs = finished(sweep.cells[0], BASE) + finished(sweep.cells[1], HARD)
    runs[3 * hole] = lose(runs[3 * hole], "diverged")
    assert compare(results_of(sweep, runs).cells, sweep) == {}
