"""Rows of the report's table on cost: launches that ended all their trials are compared and summed, others shown."""

import pytest

from analysis.report.cost import cost_rows
from sweeps.plan.course import Course
from trainables.launches import CostEstimate


def course(took: float, *, ended: int = 36, hours: float = 1.2, unit: str = "CPU-hours") -> Course:
    values = {"unit": unit, "devices": 1, "trials": 36, "hours": hours, "low": 0.9, "high": 1.6}
    return Course("quickstart@laptop-0001", 0.0, CostEstimate.model_validate(values), took, ended)


def test_a_launch_that_is_through_is_compared() -> None:
    (row,) = cost_rows([course(1.08)])
    assert row == {
        "launch": "quickstart@laptop-0001, 1970-01-01 00:00 UTC",
        "trials": "36 of 36",
        "expected": "1.2 (0.9–1.6)",
        "took": "1.08",
        "unit": "CPU-hours",
        "ratio": "0.90",
        "inside": "yes",
    }


@pytest.mark.parametrize(("took", "inside"), [(0.89, "no"), (0.91, "yes"), (1.59, "yes"), (1.61, "no")])
def test_inside_is_the_interval(took: float, inside: str) -> None:
    assert cost_rows([course(took)])[0]["inside"] == inside


def test_a_launch_that_was_cut_short_is_shown_and_not_compared() -> None:
    (row,) = cost_rows([course(0.2, ended=5)])
    assert (row["trials"], row["ratio"], row["inside"]) == ("5 of 36", "–", "–")


def test_the_sum_is_of_launches_that_can_be_compared_of_one_unit() -> None:
    rows = cost_rows([course(1.0), course(0.2, ended=5), course(1.8), course(9.0, unit="GPU-hours")])
    assert len(rows) == 5
    assert rows[-1] == {
        "launch": "sum of 2",
        "trials": "72",
        "expected": "2.4",
        "took": "2.8",
        "unit": "CPU-hours",
        "ratio": "1.17",
        "inside": "1 of 2",
    }


def test_nothing_is_shown_of_no_launches() -> None:
    assert cost_rows([]) == []
