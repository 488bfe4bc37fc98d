"""A search in MLflow is a projection too: one run, every step once, rebuilt equal, and no offence to those who read."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from analysis.runs import read_runs
from sweeps.cli.search import show_figures
from sweeps.doctor.mlflow_findings import look_at_runs
from sweeps.launched import save
from sweeps.resolved import ResolvedSweep
from sweeps.tracker.thread import SEARCH
from sweeps.tracker.tracker import Projection, sync
from tests.sweeps import ledgers, searched
from tests.sweeps.mlflow_contents import contents
from trainables.store import Store

LAUNCH = "search-joint@smoke-0001"
BEST = "best/val/top1_error"


def bring_level(store: Store, sweep: ResolvedSweep, uri: str) -> None:
    save(store, sweep)
    assert sync(store, sweep, uri, upload_weights=False) == []


def run_of(uri: str) -> Run:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("search-joint@smoke").experiment_id
    (run,) = client.search_runs([experiment], "tags.kind = 'search'")
    return run


def history(uri: str, name: str) -> list[tuple[int, float]]:
    return [(row.step, row.value) for row in MlflowClient(uri).get_metric_history(run_of(uri).info.run_id, name)]


def ended(store: Store, cells: int, *, of: int | None = None) -> ResolvedSweep:
    """Return a search with so many cells that ended with 50, 49, 48 ... percent."""
    sweep = searched.sweep(of or cells)
    for number, cell in enumerate(sweep.search_cells[:cells]):
        searched.end(store, cell, 50.0 - number)
    return sweep


def test_a_search_is_one_run_with_what_it_is_and_how_the_best_fell(store: Store, uri: str) -> None:
    sweep = searched.sweep(5)
    for cell, error, state in zip(
        sweep.search_cells, (50, 60, 30, 40, 45), ("finished", "finished", "stopped", "finished", "failed"), strict=True
    ):
        searched.end(store, cell, error, state)
    bring_level(store, sweep, uri)
    run = run_of(uri)
    assert run.data.params["space.sigma"] == "crop.sigma 0.05 ... 0.4 in steps of 0.05"
    assert run.data.params["space.magnitude"] == "policy.magnitude 1 ... 15, when policy is RandAugment"
    assert run.data.params["sampler"] == "tpe"
    assert run.data.params["minimize"] == "val/top1_error"
    expected = {"sweep": "search-joint", "scale": "smoke", "asked": "5", "budget": "12 cells", "over": "false"}
    assert expected.items() <= run.data.tags.items()
    assert history(uri, BEST) == [(1, 50), (2, 50), (3, 50), (4, 40), (5, 40)]
    assert history(uri, "cells/complete") == [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)]
    assert history(uri, "cells/pruned")[-1] == (5, 1)
    assert history(uri, "cells/failed")[-1] == (5, 1)
    assert run.info.status == "KILLED", "no launch of it goes on, and the budget is not spent"


def test_before_its_first_trial_there_is_no_run(store: Store, uri: str) -> None:
    bring_level(store, searched.sweep(2), uri)
    with pytest.raises(ValueError, match="not enough values"):
        run_of(uri)


def test_a_step_waits_for_the_cells_before_it(store: Store, uri: str) -> None:
    sweep = searched.sweep(3)
    searched.end(store, sweep.search_cells[2], 30.0)
    searched.end(store, sweep.search_cells[0], 50.0)
    bring_level(store, sweep, uri)
    assert history(uri, BEST) == [(1, 50)]
    searched.end(store, sweep.search_cells[1], 40.0)
    bring_level(store, sweep, uri)
    assert history(uri, BEST) == [(1, 50), (2, 40), (3, 30)]


def test_any_number_of_projections_are_one_and_one_of_an_empty_mlflow_is_the_same(
    store: Store, uri: str, empty_database: Path, tmp_path: Path
) -> None:
    """Contents refuse two runs of a key and two values at a step; artifacts are compared byte for byte."""
    sweep = searched.sweep(12)
    for number, cell in enumerate(sweep.search_cells):
        searched.end(store, cell, 50.0 - number)
        if number in (3, 7):
            bring_level(store, sweep, uri)
    for _ in range(2):
        bring_level(store, sweep, uri)
        show_figures(store, [sweep], uri)
    grown = contents(uri, "search-joint@smoke", tmp_path / "grown")
    (search,) = (each for (kind, _), each in grown.items() if kind == "search")
    assert search["status"] == "FINISHED"
    assert {"search.csv", "search-contour.svg", "search-contour.png", "search-history.svg"} <= set(search["files"])
    other = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'other.db')}"
    shutil.rmtree(store.root / "artifacts")
    bring_level(store, sweep, other)
    show_figures(store, [sweep], other)
    assert contents(other, "search-joint@smoke", tmp_path / "rebuilt") == grown


def test_only_what_is_new_is_sent(store: Store, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = ended(store, 2, of=3)
    bring_level(store, sweep, uri)
    sent: list[tuple[str, int]] = []
    real = MlflowClient.log_batch

    def log_batch(client: MlflowClient, run_id: str, *, metrics: Sequence[Metric] = (), **others: Any) -> None:
        sent.extend((each.key, each.step) for each in metrics if each.key == BEST)
        real(client, run_id, metrics=metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    bring_level(store, sweep, uri)
    assert sent == []
    searched.end(store, sweep.search_cells[2], 30.0)
    bring_level(store, sweep, uri)
    assert sent == [(BEST, 3)]


def test_figures_are_drawn_once_and_again_when_there_is_more(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import analysis.search.figures

    drawn: list[int] = []
    real = analysis.search.figures.write_search_figures
    monkeypatch.setattr(
        analysis.search.figures,
        "write_search_figures",
        lambda now, out: (drawn.append(len(now.complete)), real(now, out))[1],
    )
    sweep = ended(store, 2, of=3)
    for _ in range(2):
        bring_level(store, sweep, uri)
        show_figures(store, [sweep], uri)
    searched.end(store, sweep.search_cells[2], 30.0)
    bring_level(store, sweep, uri)
    show_figures(store, [sweep], uri)
    assert drawn == [2, 3]


def test_a_launch_that_goes_on_draws_its_figures_itself(store: Store, uri: str) -> None:
    sweep = ended(store, 2)
    ledgers.record_launch(store, LAUNCH, pid=os.getpid())
    bring_level(store, sweep, uri)
    assert run_of(uri).info.status == "RUNNING"
    show_figures(store, [sweep], uri)
    assert "figures" not in run_of(uri).data.tags


def test_a_cell_tried_again_changes_what_is_shown_of_its_steps(store: Store, uri: str) -> None:
    sweep = searched.sweep(3)
    for cell, error, state in zip(sweep.search_cells, (50, 40, 30), ("finished", "failed", "finished"), strict=True):
        searched.end(store, cell, error, state)
    bring_level(store, sweep, uri)
    assert history(uri, BEST) == [(1, 50), (2, 50), (3, 30)]
    searched.retried(store, sweep.search_cells[1], 20.0, ended=9000.0)
    bring_level(store, sweep, uri)
    latest = {
        row.step: row.value
        for row in sorted(
            MlflowClient(uri).get_metric_history(run_of(uri).info.run_id, BEST), key=lambda row: row.timestamp
        )
    }
    assert latest == {1: 50, 2: 20, 3: 20}


def test_a_larger_budget_is_the_same_run(store: Store, uri: str) -> None:
    """MLflow refuses a parameter that changes, so what may grow is none."""
    sweep = ended(store, 2)
    bring_level(store, sweep, uri)
    assert sweep.search is not None
    budget = sweep.search.budget.model_copy(update={"cells": 99})
    bring_level(store, sweep.model_copy(update={"search": sweep.search.model_copy(update={"budget": budget})}), uri)
    run = run_of(uri)
    assert run.data.tags["budget"] == "99 cells"
    assert not any("budget" in name or "in_flight" in name for name in run.data.params)


def test_a_changed_search_is_another_run_and_leaves_none_running(store: Store, uri: str) -> None:
    sweep = ended(store, 2)
    ledgers.record_launch(store, LAUNCH, pid=os.getpid())
    bring_level(store, sweep, uri)
    assert sweep.search is not None
    bring_level(store, sweep.model_copy(update={"search": sweep.search.model_copy(update={"seed": 1})}), uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("search-joint@smoke").experiment_id
    runs = client.search_runs([experiment], "tags.kind = 'search'")
    assert sorted(run.info.status for run in runs) == ["KILLED", "RUNNING"]


def test_readers_of_trials_are_not_confused(store: Store, uri: str) -> None:
    sweep = ended(store, 2)
    bring_level(store, sweep, uri)
    rows = read_runs(MlflowClient(uri), sweep)
    assert {row.trial_key for row in rows} == {key for cell in sweep.cells for key in cell.trials.values()}


def test_the_doctor_finds_nothing_wrong_with_it_but_when_it_is_a_zombie_or_doubled(store: Store, uri: str) -> None:
    sweep = ended(store, 2)
    ledgers.record_launch(store, LAUNCH, pid=os.getpid())
    bring_level(store, sweep, uri)
    assert look_at_runs(store, [sweep], uri) == ([], [])
    ledgers.record_launch(store, LAUNCH, pid=os.getpid(), ended=True)
    found, _ = look_at_runs(store, [sweep], uri)
    assert [finding.kind for finding in found] == ["zombie"]
    bring_level(store, sweep, uri)
    assert look_at_runs(store, [sweep], uri) == ([], [])
    run, client = run_of(uri), MlflowClient(uri)
    client.create_run(run.info.experiment_id, tags=dict(run.data.tags))
    found, _ = look_at_runs(store, [sweep], uri)
    assert [finding.kind for finding in found] == ["double"]


def test_the_file_in_the_store_says_what_was_asked_since_the_launch_began(store: Store, uri: str) -> None:
    """The tracker's process knows the sweep as it was when it started."""
    grown = ended(store, 3)
    assert grown.search is not None
    first = grown.model_copy(
        update={
            "search": grown.search.model_copy(update={"asks": grown.search.asks[:1]}),
            "search_cells": grown.search_cells[:1],
        }
    )
    save(store, grown)
    Projection(store, first, uri, is_running=lambda _launch: False).project(SEARCH)
    assert history(uri, BEST) == [(1, 50), (2, 49), (3, 48)]
