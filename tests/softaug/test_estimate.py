from math import inf, nan, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from softaug.estimate import T_975, estimate, t_975


@pytest.mark.parametrize("degrees_of_freedom", range(1, 31))
def test_the_table_holds_scipys_quantiles(degrees_of_freedom: int) -> None:
    assert len(T_975) == 30
    assert t_975(degrees_of_freedom) == pytest.approx(stats.t.ppf(0.975, degrees_of_freedom), abs=1e-6)


def test_beyond_the_table_the_interval_is_a_little_wide() -> None:
    assert stats.t.ppf(0.975, 1000) < t_975(1000) == T_975[-1]


def test_hand_worked() -> None:
    result = estimate([1.0, 2.0, 3.0])
    assert (result.mean, result.se, result.n) == (2.0, pytest.approx(1 / sqrt(3)), 3)
    assert result.interval_95 == pytest.approx(4.302653 / sqrt(3))


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20))
def test_agrees_with_scipy(values: list[float]) -> None:
    result = estimate(values)
    assert result.se == pytest.approx(float(stats.sem(values)), abs=1e-9)
    assert result.mean == pytest.approx(sum(values) / len(values), abs=1e-9)


def test_one_seed_has_no_error() -> None:
    result = estimate([3.5])
    assert (result.mean, result.se, result.n, result.interval_95) == (3.5, None, 1, None)


@pytest.mark.parametrize("bad", [nan, inf])
def test_a_hole_is_never_averaged(bad: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        estimate([1.0, bad])
    with pytest.raises(ValueError, match="no values"):
        estimate([])
    with pytest.raises(ValueError, match="at least 1"):
        t_975(0)
