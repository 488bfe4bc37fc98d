"""Cells: means over all seeds or none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic import FACTS, finished, lose, made_up, quickstart

from analysis.cells import describe, gather
from analysis.results import results_of

SWEEP = quickstart(sigmas=(0.1, 0.3))
RUNS = made_up(SWEEP)


def test_estimate_is_numpys_and_scipys() -> None:
    errors = [2.71, 3.14, 1.41]
    cell = SWEEP.cells[0]
    estimate = gather(quickstart(sigmas=()), finished(cell, errors))[0].estimate("test/top1_error")
    assert estimate is not None
    assert estimate.mean == pytest.approx(np.mean(errors))
    assert estimate.se == pytest.approx(stats.sem(errors))
    assert estimate.n == 3


@pytest.mark.parametrize("state", ["pending", "running", "diverged", "failed", "stopped", "interrupted", "missing"])
def test_a_lost_seed_makes_a_hole(state: str) -> None:
    runs = [*RUNS[:3], RUNS[3], lose(RUNS[4], state, "why"), *RUNS[5:]]
    hole = gather(SWEEP, runs)[1]
    assert hole.estimate("test/top1_error") is None
    assert hole.seeds == "2/3"
    assert hole.problems == [f"seed 1 {state} (why)"]


@pytest.mark.parametrize("fact", ["epochs", "data_fingerprint", "torch"])
def test_seeds_that_differ_in_what_they_learn_are_refused(fact: str) -> None:
    runs = [RUNS[0], replace(RUNS[1], facts=FACTS | {fact: "7"}), *RUNS[2:]]
    cell = gather(SWEEP, runs)[0]
    assert cell.estimate("test/top1_error") is None
    assert cell.problems == [f"seeds differ in {fact}: {FACTS[fact]} (seeds 0, 2), 7 (seed 1)"]


def test_seeds_of_a_cpu_and_a_gpu_are_refused() -> None:
    cell = gather(SWEEP, [RUNS[0], replace(RUNS[1], facts=FACTS | {"device": "NVIDIA V100"}), *RUNS[2:]])[0]
    assert cell.estimate("test/top1_error") is None
    assert cell.problems == ["seeds differ in device class: CPU (seeds 0, 2), GPU (seed 1)"]


def test_two_kinds_of_gpus_are_shown() -> None:
    runs = [replace(run, facts=FACTS | {"device": f"GPU {run.seed % 2}"}) for run in RUNS]
    cell = gather(SWEEP, runs)[0]
    assert cell.estimate("test/top1_error") is not None
    assert cell.warnings == ["seeds differ in device: GPU 0 (seeds 0, 2), GPU 1 (seed 1)"]


@pytest.mark.parametrize("fact", ["cpu"])
def test_seeds_that_differ_in_where_they_ran_are_shown(fact: str) -> None:
    cell = gather(SWEEP, [RUNS[0], replace(RUNS[1], facts=FACTS | {fact: "other"}), *RUNS[2:]])[0]
    assert cell.estimate("test/top1_error") is not None
    assert cell.warnings == [f"seeds differ in {fact}: {FACTS[fact]} (seeds 0, 2), other (seed 1)"]


@settings(max_examples=25, deadline=None)
@given(st.permutations(RUNS))
def test_the_order_of_rows_does_not_matter(runs: list) -> None:
    assert results_of(SWEEP, runs) == results_of(SWEEP, RUNS)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, len(RUNS) - 1)), st.sampled_from(["diverged", "failed", "missing"]))
def test_a_lost_seed_never_enters_a_mean(lost: set[int], state: str) -> None:
    """Runs that were lost may hold any number: what is shown does not depend on it."""
    poison = {"test/top1_error": 99.0, "test/ece": 99.0, "test/nll": 99.0, "test/brier": 99.0}
    runs = [replace(lose(run, state), metrics=poison) if i in lost else run for i, run in enumerate(RUNS)]
    results = results_of(SWEEP, runs)
    for cell in results.cells:
        complete = all(run.state == "finished" for run in cell.runs)
        estimate = cell.estimate("test/top1_error")
        assert (estimate is not None) == complete
        assert estimate is None or (estimate.n == 3 and estimate.mean < 10)
    assert all(abs(comparison.reduction.mean) < 10 for comparison in results.comparisons.values())


def test_a_cell_is_described_by_its_axes() -> None:
    assert describe(SWEEP.cells[-1], SWEEP.axes) == "soft target & weight, σ = 0.3"
    assert describe(SWEEP.cells[-1], SWEEP.axes, without="sigma") == "soft target & weight"
