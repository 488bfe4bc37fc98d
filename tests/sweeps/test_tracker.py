"""MLflow is a projection: one run per trial and cell, every row once, any number of projections the same."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from sweeps.resolved import ResolvedSweep
from sweeps.tracker import Projection, sync
from sweeps.tracker_thread import TrackerThread
from tests.sweeps import ledgers
from trainables.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"


def projection(store: Store, sweep: ResolvedSweep, uri: str, *, running: bool = False) -> Projection:
    return Projection(store, sweep, uri, is_running=lambda _launch: running)


def runs(uri: str, kind: str, experiment: str = "small@smoke") -> dict[str, Run]:
    """Return the runs of a kind by trial or cell key; two of the same key are an error."""
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], f"tags.kind = '{kind}'")
    by_key = {run.data.tags[f"{kind}_key"]: run for run in found}
    assert len(by_key) == len(found)
    return by_key


def history(uri: str, run: Run) -> dict[str, list[tuple[int, float]]]:
    client = MlflowClient(uri)
    return {
        name: [(row.step, row.value) for row in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def test_a_finished_trial_becomes_a_child_run_with_everything_of_it(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[2]
    ledgers.finish(ledgers.begin(store, key), 2.5)
    projection(store, sweep, uri).project(key)
    run = runs(uri, "trial")[key]
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (1_000_000, 1_003_000)
    assert run.info.run_name == "hard Gaussian crop, sigma 0.3, seed 0"
    assert run.data.params["crop.sigma"] == "0.3"
    assert run.data.params["seed"] == "0"
    parent = runs(uri, "cell")[sweep.cells[1].cell_key]
    expected = {
        "sweep": "small",
        "arm": "hard Gaussian crop",
        "cell_key": sweep.cells[1].cell_key,
        "seed": "0",
        "attempt": "1",
        "state": "finished",
        "epochs": "3",
        "git_commit": "c0ffee",
        "torch": "2.14.1",
        "mlflow.parentRunId": parent.info.run_id,
    }
    assert expected.items() <= run.data.tags.items()
    assert history(uri, run) == {
        "train/kl": [(1, 1.0), (2, 0.5), (3, 1 / 3)],
        "train/lr": [(1, 0.1), (2, 0.05), (3, 0.1 / 3)],
        "test/top1_error": [(3, 2.5)],
        "test/ece": [(3, 1.25)],
    }
    artifacts = {item.path for item in MlflowClient(uri).list_artifacts(run.info.run_id)}
    assert artifacts == {"recipe.json", "sweep.yaml", "samples.png", "reliability.json"}


def test_a_cell_has_its_mean_once_all_seeds_have_ended(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    first, second, *_ = sweep.trial_keys
    project = projection(store, sweep, uri, running=True)
    ledgers.finish(ledgers.begin(store, first), 2.0)
    project.project(first)
    cell = runs(uri, "cell")[sweep.cells[0].cell_key]
    assert (cell.info.status, cell.data.metrics) == ("RUNNING", {})
    ledgers.finish(ledgers.begin(store, second), 4.0)
    project.project(second)
    project.project(second)
    cell = runs(uri, "cell")[sweep.cells[0].cell_key]
    assert cell.info.status == "FINISHED"
    assert history(uri, cell)["mean/test/top1_error"] == [(0, 3.0)]
    assert history(uri, cell)["se/test/top1_error"] == [(0, 1.0)]
    assert history(uri, cell)["n"] == [(0, 2.0)]
    assert {item.path for item in MlflowClient(uri).list_artifacts(cell.info.run_id)} == {"sweep.yaml", "samples.png"}


def test_a_fourth_seed_renews_the_mean_of_its_cell(store: Store, uri: str) -> None:
    for seeds in ([0, 1], [0, 1, 2]):
        sweep = ledgers.small_sweep(seeds)
        key = sweep.cells[0].trials[seeds[-1]]
        for each in sweep.cells[0].trials.values():
            if not store.exists(f"trials/{each[:2]}/{each}/end.json"):
                ledgers.finish(ledgers.begin(store, each), 3.0 if each == key else 2.0)
        sync(store, sweep, uri, upload_weights=False)
    cell = runs(uri, "cell")[sweep.cells[0].cell_key]
    assert cell.data.metrics["n"] == 3
    assert cell.data.tags["seeds"] == "0 1 2"


def test_projecting_again_from_anywhere_changes_nothing(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    for key in sweep.trial_keys:
        ledgers.finish(ledgers.begin(store, key), 2.0)
    sync(store, sweep, uri, upload_weights=False)
    before = {key: (history(uri, run), dict(run.data.tags)) for key, run in runs(uri, "trial").items()}
    sync(store, sweep, uri, upload_weights=False)
    assert before == {key: (history(uri, run), dict(run.data.tags)) for key, run in runs(uri, "trial").items()}
    assert len(runs(uri, "cell")) == 2


def test_an_empty_mlflow_is_filled_again(store: Store, uri: str, tmp_path: Path, empty_database: Path) -> None:
    sweep = ledgers.small_sweep()
    for key in sweep.trial_keys:
        ledgers.finish(ledgers.begin(store, key), 2.0)
    sync(store, sweep, uri, upload_weights=False)
    other = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'other.db')}"
    sync(store, sweep, other, upload_weights=False)
    for key, run in runs(uri, "trial").items():
        assert history(other, runs(other, "trial")[key]) == history(uri, run)


def test_rows_arrive_as_they_come_and_once_over_attempts(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    first = ledgers.begin(store, key)
    first.write_rows(ledgers.rows(2))
    projection(store, sweep, uri, running=True).project(key)
    run = runs(uri, "trial")[key]
    assert (run.info.status, run.data.tags["state"], run.data.tags["epochs"]) == ("RUNNING", "running", "2")
    projection(store, sweep, uri).project(key)
    run = runs(uri, "trial")[key]
    assert (run.info.status, run.data.tags["state"]) == ("KILLED", "interrupted")
    second = ledgers.begin(store, key)
    second.write_rows(ledgers.rows(1))
    projection(store, sweep, uri, running=True).project(key)
    assert runs(uri, "trial")[key].info.status == "RUNNING"
    ledgers.finish(second, 2.0)
    projection(store, sweep, uri).project(key)
    run = runs(uri, "trial")[key]
    assert (run.info.status, run.data.tags["attempt"]) == ("FINISHED", "2")
    assert [step for step, _ in history(uri, run)["train/kl"]] == [1, 2, 3]


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_failures_are_failed_runs_with_their_reason_and_the_cell_shows_the_hole(
    store: Store, uri: str, state: str
) -> None:
    sweep = ledgers.small_sweep()
    good, bad, *_ = sweep.trial_keys
    ledgers.finish(ledgers.begin(store, good), 2.0)
    ledgers.fail(ledgers.begin(store, bad), state, "because")
    sync(store, sweep, uri, upload_weights=False)
    run = runs(uri, "trial")[bad]
    assert (run.info.status, run.data.tags["state"], run.data.tags["reason"]) == ("FAILED", state, "because")
    cell = runs(uri, "cell")[sweep.cells[0].cell_key]
    assert (cell.info.status, cell.data.metrics["n"]) == ("FAILED", 1)


def test_sweeps_that_share_trials_each_have_a_run_of_them(store: Store, uri: str) -> None:
    one, other = ledgers.small_sweep(), ledgers.small_sweep(name="other")
    assert one.trial_keys == other.trial_keys
    ledgers.finish(ledgers.begin(store, one.trial_keys[0]), 2.0)
    for sweep in (one, other):
        sync(store, sweep, uri, upload_weights=False)
    assert runs(uri, "trial").keys() == runs(uri, "trial", "other@smoke").keys()


def test_weights_are_uploaded_only_when_asked_for(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    ledgers.finish(ledgers.begin(store, key), 2.0)
    sync(store, sweep, uri, upload_weights=True)
    run = runs(uri, "trial")[key]
    assert "weights.safetensors" in {item.path for item in MlflowClient(uri).list_artifacts(run.info.run_id)}
    assert Path(run.data.tags["weights"]).read_bytes() == b"weights"


class FlakyMLflow:
    """A projection whose server is away for the first calls, or refuses one trial for good."""

    def __init__(self, away: int = 0, refuse: str | None = None) -> None:
        self.away = away
        self.refuse = refuse
        self.projected: list[str] = []
        self.client = self

    def search_experiments(self, **_: Any) -> None:
        if self.away > 0:
            raise ConnectionError("away")

    def project(self, key: str) -> None:
        if self.away > 0:
            self.away -= 1
            raise ConnectionError("away")
        if key == self.refuse:
            raise ValueError("bad request")
        self.projected.append(key)


def tracked(mlflow: FlakyMLflow, said: list[str], keys: list[str]) -> int:
    thread = TrackerThread(lambda: mlflow, warn=said.append)  # type: ignore[arg-type, return-value]
    thread.start()
    for key in keys:
        thread.changed(key, ended=True)
    return thread.close(keys)


def test_an_absence_is_told_once_and_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.tracker_thread.LONGEST_WAIT_S", 0.01)
    mlflow, said = FlakyMLflow(away=3), []
    assert tracked(mlflow, said, ["a", "b", "c"]) == 0
    assert set(mlflow.projected) == {"a", "b", "c"}
    assert said == [
        "MLflow does not answer: ConnectionError: away; the sweep goes on and I keep trying",
        "MLflow answers again",
    ]


def test_a_trial_that_mlflow_refuses_does_not_hold_up_the_others() -> None:
    mlflow, said = FlakyMLflow(refuse="b"), []
    assert tracked(mlflow, said, ["a", "b", "c"]) == 1
    assert set(mlflow.projected) == {"a", "c"}
    assert len(said) >= 1
    assert all("MLflow refuses trial b: ValueError: bad request" in line for line in said)


def test_a_server_that_stays_away_is_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.tracker_thread.LONGEST_WAIT_S", 0.01)
    monkeypatch.setattr("sweeps.tracker_thread.LAST_TRIES_S", 0.2)
    started = time.monotonic()
    assert tracked(FlakyMLflow(away=10**9), [], ["a", "b"]) == 2
    assert time.monotonic() - started < 30


def test_a_running_trial_is_not_projected_more_often_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.tracker_thread.RUNNING_EVERY_S", 3600.0)
    mlflow = FlakyMLflow()
    thread = TrackerThread(lambda: mlflow, warn=print)  # type: ignore[arg-type, return-value]
    thread.start()
    for _ in range(100):
        thread.changed("a", ended=False)
    assert mlflow.projected == []
    thread.close(["a"])
    assert mlflow.projected == ["a"]
