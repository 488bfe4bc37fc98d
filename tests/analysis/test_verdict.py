"""Verdicts against published numbers: scipy's Welch test, and what rounding and missing errors allow."""

from dataclasses import replace
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.published import PublishedNumber, published
from analysis.verdict import verdict, welch
from softaug.estimate import Estimate

PAPER = PublishedNumber("2", "cifar100", "resnet18", "sa", "top1_error_pct", 18.31, 0.17, "ours", "", n_runs=3)
MEANS = st.floats(10, 30)
ERRORS = st.floats(0.02, 2)
COUNTS = st.integers(2, 12)


def scipys(a: Estimate, b: Estimate) -> tuple[float, float]:
    """p and the half-width of the 95 % interval by scipy, which takes standard deviations."""
    result = stats.ttest_ind_from_stats(
        a.mean, a.se * sqrt(a.n), a.n, b.mean, b.se * sqrt(b.n), b.n, equal_var=False
    )  # fmt: skip
    freedom = (a.se**2 + b.se**2) ** 2 / (a.se**4 / (a.n - 1) + b.se**4 / (b.n - 1))
    return result.pvalue, stats.t.ppf(0.975, freedom) * sqrt(a.se**2 + b.se**2)


@settings(max_examples=200, deadline=None)
@given(MEANS, ERRORS, COUNTS, MEANS, ERRORS, COUNTS)
def test_welch_is_scipys(mean: float, se: float, n: int, other: float, other_se: float, other_n: int) -> None:
    a, b = Estimate(mean, se, n), Estimate(other, other_se, other_n)
    assert welch(a, b) == pytest.approx(scipys(a, b), rel=1e-9, abs=1e-12)


def test_slack_makes_the_difference_smaller_but_never_less_than_none() -> None:
    a, b = Estimate(20.0, 0.1, 3), Estimate(20.4, 0.1, 3)
    assert welch(a, b, slack=0.1)[0] == pytest.approx(scipys(a, replace(b, mean=20.3))[0])
    assert welch(a, b, slack=0.4)[0] == welch(a, b, slack=9.0)[0] == pytest.approx(1.0)


def test_no_spread_is_no_test() -> None:
    with pytest.raises(ValueError, match="no spread"):
        welch(Estimate(1.0, 0.0, 3), Estimate(2.0, 0.0, 3))
    found = verdict(Estimate(18.0, 0.0, 3), replace(PAPER, se=0.0, decimals=12))
    assert (found.words, found.agrees) == ("not tested: no spread between seeds", None)


@pytest.mark.parametrize(
    ("ours", "words", "agrees"),
    [
        (Estimate(18.45, 0.12, 3), "agrees (p = 0.557)", True),
        (Estimate(20.45, 0.12, 3), "differs (p < 0.001)", False),
        (Estimate(16.31, 0.12, 3), "differs (p < 0.001)", False),
        (Estimate(18.45, None, 1), "not tested: one seed", None),
    ],
)
def test_words(ours: Estimate, words: str, agrees: bool | None) -> None:
    found = verdict(ours, PAPER)
    assert found.agrees is agrees
    if agrees is None:
        assert found.words == words
        return
    assert found.words.split("(")[0] == words.split("(")[0]
    p = max(scipys(replace(ours, mean=ours.mean - 0.005 * (1 if ours.mean > 18.31 else -1)), Estimate(18.31, se, 3))[0]
            for se in (0.165, 0.17, 0.175))  # fmt: skip
    assert found.p == pytest.approx(p)
    assert found.difference == pytest.approx(ours.mean - 18.31)
    assert found.interval_95 == pytest.approx(scipys(ours, Estimate(18.31, 0.175, 3))[1])


@settings(max_examples=300, deadline=None)
@given(MEANS, ERRORS, COUNTS, MEANS, st.floats(0.006, 2), COUNTS)
def test_what_was_rounded_is_not_held_against_us(
    mean: float, se: float, n: int, true_mean: float, true_se: float, paper_n: int
) -> None:
    """If a test of the paper's unrounded numbers sees no difference, the verdict on the rounded ones sees none."""
    ours, true = Estimate(mean, se, n), Estimate(true_mean, true_se, paper_n)
    printed = replace(PAPER, mean=round(true_mean, 2), se=round(true_se, 2), n_runs=paper_n)
    if scipys(ours, true)[0] >= 0.0501:
        assert verdict(ours, printed).agrees


@pytest.mark.parametrize(
    ("lacks", "mean", "words"),
    [
        ({"se": None}, 18.61, "no published SE: inside our interval"),
        ({"se": None}, 18.91, "no published SE: outside our interval"),
        ({"n_runs": None}, 18.01, "no published n: inside our interval"),
    ],
)
def test_without_an_error_of_the_paper_only_our_interval_speaks(lacks: dict, mean: float, words: str) -> None:
    """±4.3027 SE at n = 3: 0.1 gives 0.43, and half a unit of the last digit."""
    found = verdict(Estimate(mean, 0.1, 3), replace(PAPER, **lacks))
    assert found.words == words
    assert (found.p, found.interval_95) == (None, pytest.approx(0.4302653))


def test_the_edge_of_our_interval_has_the_rounding() -> None:
    ours = Estimate(18.31 + 0.4302653 + 0.0049, 0.1, 3)
    assert verdict(ours, replace(PAPER, se=None)).agrees
    assert not verdict(replace(ours, mean=ours.mean + 0.0002), replace(PAPER, se=None)).agrees


def test_an_error_printed_as_below_a_bound_is_that_bound() -> None:
    (row,) = (row for row in published() if row.se_upper_bound)
    assert (row.mean, row.largest_se) == (22.62, 0.01)
    found = verdict(Estimate(22.70, 0.02, 3), row)
    assert found.p == pytest.approx(max(scipys(Estimate(22.695, 0.02, 3), Estimate(22.62, se, 3))[0]
                                        for se in (0.005, 0.01)))  # fmt: skip


def test_a_run_that_diverged_there_and_not_here_disagrees() -> None:
    assert verdict(Estimate(40.0, 1.0, 3), replace(PAPER, mean=None, se=None)).agrees is False


def test_digits_printed() -> None:
    """25.6 and 21.1 are quoted with one digit; everything else in the tables has two."""
    tables = [row for row in published() if row.table != "text"]
    assert {row.mean for row in tables if row.decimals == 1} == {25.6, 21.1}
    assert all(row.decimals in (1, 2) for row in tables)
    assert all(round(row.mean, row.decimals) == row.mean for row in tables if row.mean is not None)
