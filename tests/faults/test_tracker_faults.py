"""F10 to F12: MLflow that answers wrongly, not at all, or after it has done what was asked; every call, every fault.

A scripted proxy stands in front of a real server. Whatever it does, afterwards MLflow holds what an undisturbed
projection of the same ledger holds: one run per trial and cell, every step once, true states, nothing elsewhere.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, ViewType

from sweeps.resolved import ResolvedSweep
from sweeps.tracker import thread as tracker_thread
from sweeps.tracker.thread import TrackerThread
from sweeps.tracker.tracker import Projection, sync
from tests.faults.proxy import Fault, Proxy, proxy_before
from tests.servers import mlflow_server
from tests.sweeps import ledgers
from tests.sweeps.mlflow_contents import Contents, contents
from trainables.store import Store, open_store

pytestmark = pytest.mark.slow  # with a real server, whose every call is made to fail in every way

NAMES = iter(f"sweep-{number}" for number in range(10**6))  # an experiment per test on one server
PASSING = ("drop", "429", "500", "503", "half", "lost")
CALLS = {
    "GET /api/2.0/mlflow/experiments/get-by-name": PASSING,
    "POST /api/2.0/mlflow/experiments/create": ("drop", "429", "500", "503", "lost"),
    "POST /api/2.0/mlflow/experiments/create ": ("half",),  # done, like the lost one, so never asked for again
    "POST /api/2.0/mlflow/runs/search": PASSING,
    "POST /api/2.0/mlflow/runs/create": PASSING,
    "POST /api/2.0/mlflow/runs/log-batch": PASSING,
    "POST /api/2.0/mlflow/runs/update": PASSING,
    "PUT /api/2.0/mlflow-artifacts/artifacts": PASSING,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxy_before(server) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    monkeypatch.setattr(tracker_thread, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(tracker_thread, "LONGEST_WAIT_S", 0.2)


@pytest.fixture
def sweep() -> ResolvedSweep:
    return ledgers.small_sweep(name=next(NAMES))


@pytest.fixture
def store(tmp_path: Path, sweep: ResolvedSweep) -> Store:
    """Return a ledger with a trial in every state: finished, finished at the second attempt, failed, interrupted."""
    store = open_store(tmp_path / "store")
    one, two, three, four = sweep.trial_keys
    ledgers.finish(ledgers.begin(store, one), 2.0)
    ledgers.begin(store, two).write_rows(ledgers.rows(2))
    ledgers.finish(ledgers.begin(store, two), 4.0)
    ledgers.fail(ledgers.begin(store, three), "failed", "because")
    ledgers.begin(store, four).write_rows(ledgers.rows(2))
    return store


@pytest.fixture
def expected(store: Store, sweep: ResolvedSweep, tmp_path: Path, empty_database: Path) -> Contents:
    """Return what an undisturbed projection makes of the ledger."""
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'undisturbed.db')}"
    assert sync(store, sweep, uri, upload_weights=False) == []
    return contents(uri, sweep.experiment, tmp_path / "undisturbed")


def projected(store: Store, sweep: ResolvedSweep, uri: str) -> tuple[int, list[str]]:
    """Project all trials as a launch does; return how many are missing and what was said."""
    said: list[str] = []
    thread = TrackerThread(lambda: Projection(store, sweep, uri, is_running=lambda _launch: False), warn=said.append)
    thread.start()
    for key in sweep.trial_keys:
        thread.changed(key, ended=True)
    return thread.close(sweep.trial_keys), said


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_fails_in_any_way_is_made_up_for(
    call: str, proxy: Proxy, server: str, store: Store, sweep: ResolvedSweep, expected: Contents, tmp_path: Path
) -> None:
    kinds = CALLS[call]
    unhurt = 0 if "experiments" in call else 2  # these calls are made once and no more once they have succeeded
    proxy.faults = [Fault(call.strip(), kind, after=unhurt if kind == "503" else 0) for kind in kinds]
    began = time.monotonic()
    missing, said = projected(store, sweep, proxy.url)
    print(f"{call}: {time.monotonic() - began:.1f} s")
    assert [kind for kind, _ in proxy.done] == list(kinds), "every fault really happened"
    assert missing == 0
    assert contents(server, sweep.experiment, tmp_path / "disturbed") == expected
    assert said
    assert all("does not answer" in line or line == "MLflow answers again" for line in said), said
    assert said[-1] == "MLflow answers again"


def test_history_is_asked_for_when_an_attempt_follows_another_and_may_fail_too(
    proxy: Proxy, server: str, store: Store, sweep: ResolvedSweep, tmp_path: Path
) -> None:
    key = sweep.trial_keys[3]
    assert projected(store, sweep, proxy.url)[0] == 0
    ledgers.finish(ledgers.begin(store, key), 3.0, epochs=4)
    proxy.faults = [Fault("GET /api/2.0/mlflow/metrics/get-history", kind) for kind in PASSING]
    assert projected(store, sweep, proxy.url)[0] == 0
    assert [kind for kind, _ in proxy.done] == list(PASSING)
    run = contents(server, sweep.experiment, tmp_path / "disturbed")["trial", key]
    assert [step for step, *_ in run["metrics"]["train/kl"]] == [1, 2, 3, 4]


def test_rows_that_arrived_untold_are_not_sent_again_with_the_times_of_a_later_attempt(
    proxy: Proxy, server: str, sweep: ResolvedSweep, tmp_path: Path
) -> None:
    store, key = open_store(tmp_path / "again"), sweep.trial_keys[0]
    ledgers.begin(store, key).write_rows(ledgers.rows(3))
    projection = Projection(store, sweep, proxy.url, is_running=lambda _launch: True)
    client = MlflowClient(server)
    proxy.faults = [Fault("POST /api/2.0/mlflow/runs/log-batch", "drop")]
    with pytest.raises(Exception, match="failed with exception"):
        projection.project(key)
    assert proxy.done
    experiment = client.get_experiment_by_name(sweep.experiment).experiment_id
    (run,) = client.search_runs([experiment], "tags.kind = 'trial'")
    rows = ledgers.rows(3)
    arrived = [
        Metric(name, value, round(row.time * 1000), row.epoch) for row in rows for name, value in row.metrics.items()
    ]
    client.log_batch(run.info.run_id, metrics=arrived)  # and no tags
    later = [row.model_copy(update={"time": row.time + 50}) for row in ledgers.rows(5)]
    ledgers.begin(store, key).write_rows(later)
    assert projected(store, sweep, proxy.url)[0] == 0
    kept = contents(server, sweep.experiment, tmp_path / "disturbed")["trial", key]["metrics"]["train/kl"]
    assert [(step, at) for step, at, _ in kept] == [
        (1, 1001000),
        (2, 1002000),
        (3, 1003000),
        (4, 1054000),
        (5, 1055000),
    ]


@pytest.mark.parametrize("kind", ["400", "403"])
def test_a_trial_that_is_refused_is_told_once_and_the_others_arrive(
    kind: str, proxy: Proxy, server: str, store: Store, sweep: ResolvedSweep, expected: Contents, tmp_path: Path
) -> None:
    assert projected(store, sweep, proxy.url)[0] == 0
    key = sweep.trial_keys[3]
    before = contents(server, sweep.experiment, tmp_path / "before")
    assert before == expected
    ledgers.finish(ledgers.begin(store, key), 3.0)
    proxy.faults = [Fault("recipe.json", kind, times=10**6)]  # of its artifacts; the others' are there
    missing, said = projected(store, sweep, proxy.url)
    assert len(proxy.done) >= 2, "it was tried once more"
    print(f"refused {len(proxy.done)} times: {said}")
    assert missing == 1
    assert [line for line in said if not line.startswith(f"MLflow refuses trial {key[:12]}: ")] == []
    assert len(said) == 1
    after = contents(server, sweep.experiment, tmp_path / "after")
    others = {place for place in before if place[0] == "trial" and place[1] != key}
    assert {place: after[place] for place in others} == {place: before[place] for place in others}


def test_runs_deleted_in_mlflows_page_are_made_again(
    server: str, store: Store, sweep: ResolvedSweep, tmp_path: Path
) -> None:
    said: list[str] = []
    thread = TrackerThread(lambda: Projection(store, sweep, server, is_running=lambda _launch: False), warn=said.append)
    last = sweep.trial_keys[-1]
    projection = Projection(store, sweep, server, is_running=lambda _launch: False)
    for key in sweep.trial_keys:
        projection.project(key)
    client = MlflowClient(server)
    for run in client.search_runs([projection.experiment.id]):
        client.delete_run(run.info.run_id)
    ledgers.finish(ledgers.begin(store, last), 3.0)
    thread.projection = projection  # which knows the deleted ones
    thread.start()
    thread.changed(last, ended=True)
    assert thread.close(sweep.trial_keys) == 0
    assert said == []
    found = contents(server, sweep.experiment, tmp_path / "again")
    assert len(found) == 6
    assert found["trial", last]["status"] == "FINISHED"


def test_a_creation_carried_out_after_its_time_out_leaves_no_second_run(
    proxy: Proxy, server: str, store: Store, sweep: ResolvedSweep, expected: Contents, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    proxy.faults = [Fault("POST /api/2.0/mlflow/runs/create", "slow", times=2, seconds=2.5, after=1)]
    missing, said = projected(store, sweep, proxy.url)
    assert [kind for kind, _ in proxy.done] == ["slow", "slow"]
    assert missing == 0
    assert said[-1] == "MLflow answers again"
    client = MlflowClient(server)
    deadline = time.monotonic() + 20
    created = [each for each in proxy.seen if "runs/create" in each]
    everything = [client.get_experiment_by_name(sweep.experiment).experiment_id]
    while len(client.search_runs(everything, run_view_type=ViewType.ALL)) < len(created):
        assert time.monotonic() < deadline, "the late creations were carried out"
        time.sleep(0.05)
    assert sync(store, sweep, server, upload_weights=False) == []
    assert contents(server, sweep.experiment, tmp_path / "disturbed") == expected


def test_a_server_that_takes_two_seconds_an_answer_does_not_hold_the_launch_up(
    proxy: Proxy, server: str, store: Store, sweep: ResolvedSweep, expected: Contents, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(tracker_thread, "LAST_TRIES_S", 3.0)
    monkeypatch.setattr(tracker_thread, "REQUEST_S", 3.0)
    proxy.faults = [Fault("/api/", "slow", times=10**6, seconds=2.0)]
    thread = TrackerThread(
        lambda: Projection(store, sweep, proxy.url, is_running=lambda _launch: False), warn=lambda _text: None
    )
    thread.start()
    began = time.monotonic()
    missing = thread.close(sweep.trial_keys)
    held_up = time.monotonic() - began
    print(f"held up for {held_up:.1f} s, {len(proxy.done)} slow answers, {missing} trials missing")
    assert proxy.done
    assert missing
    assert held_up < 3.0 + 3.0 + 2.0
    proxy.faults = []
    thread.join(60)
    assert not thread.is_alive()
    assert sync(store, sweep, server, upload_weights=False) == []
    assert contents(server, sweep.experiment, tmp_path / "disturbed") == expected


def test_sync_against_an_empty_mlflow_rebuilds_it_equal(
    server: str, store: Store, sweep: ResolvedSweep, expected: Contents, tmp_path: Path
) -> None:
    assert sync(store, sweep, server, upload_weights=False) == []
    assert contents(server, sweep.experiment, tmp_path / "rebuilt") == expected
