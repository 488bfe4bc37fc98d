"""F6, F9, F10, F13: a launch whose MLflow is killed, cut off, hangs, loses its PostgreSQL, or never comes back.

Its trials do not notice, nothing is lost or doubled; and a launch that was lost does not wait for MLflow to go on.
"""

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sweeps.tracker.thread import LAST_TRIES_S, REQUEST_S
from tests.conftest import Softaug
from tests.faults.scenes import Launch, Scene, gate, measured, open_gate, tiny_sweep, until
from tests.networks import network
from tests.postgres import Postgres, postgres
from tests.servers import MlflowServer, free_port
from tests.sweeps.mlflow_contents import contents, differing

EPOCHS, IMAGES = 100, 400  # a sweep that trains for some 20 s, with at most ten rows a second
LAST = "sweeps.tracker.process:TrackerProcess.close"  # what a launch does last; there it waits for the outage's end
EXPERIMENT = "tiny@paper"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    server = MlflowServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def without_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Return every trial's final metrics from a launch that had no MLflow at all."""
    scene = Scene(tmp_path_factory.mktemp("without"))
    scene.launch(scene.sweep(tiny_sweep(epochs=EPOCHS, images=IMAGES)), "--offline").ended(0, within_s=600)
    yield final_metrics(scene)
    scene.close()


def ended(scene: Scene) -> list[str]:
    return sorted(path.parent.name for path in scene.store.glob("trials/*/*/end.json"))


def final_metrics(scene: Scene) -> dict[str, Any]:
    return {key: (scene.state(key)["state"], scene.state(key)["metrics"]) for key in ended(scene)}


def launched(scene: Scene, server: MlflowServer) -> Launch:
    """Launch the sweep, and wait until MLflow shows a trial that runs."""
    sweep = scene.sweep(tiny_sweep(epochs=EPOCHS, images=IMAGES))
    launch = scene.launch(sweep, "--tracking-uri", server.url, gates=[gate(scene.folder, LAST, "driver")])
    until(lambda: shown(server, "RUNNING"), "a running trial in MLflow", within_s=300)
    return launch


def let_end(scene: Scene) -> None:
    """Let the launch come to its end, once all its trials have."""
    open_gate(scene, {"at": LAST, "pipe": str(scene.folder / "gate")}, waiting=1)


def shown(server: MlflowServer, status: str) -> set[str]:
    """Return the trials that have this status in MLflow; none while it cannot be asked, as over a cut connection."""
    client = MlflowClient(server.url)
    with suppress(MlflowException):
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            wanted = f"tags.kind = 'trial' and attributes.status = '{status}'"
            return {run.data.tags["trial_key"] for run in client.search_runs([experiment.experiment_id], wanted)}
    return set()


def away(launch: Launch, seconds: float) -> None:
    """Let time pass, and check that the launch goes on meanwhile."""
    until_then = time.monotonic() + seconds
    until(lambda: time.monotonic() >= until_then, "the end of the outage")
    assert launch.process.poll() is None, f"the launch was to go on:\n{launch.output}"


def level_after(scene: Scene, server: MlflowServer, what: str) -> None:
    """Wait until MLflow has all that had ended when it came back; print the seconds, at most thirty."""
    then, came_back = set(ended(scene)), time.monotonic()
    until(lambda: then <= shown(server, "FINISHED"), "all that was missed", within_s=90)
    measured(f"{what}: level after its return", time.monotonic() - came_back)
    assert time.monotonic() - came_back <= 30


def check(scene: Scene, server: MlflowServer, launch: Launch, expected: dict[str, Any], tmp_path: Path) -> None:
    """Check that training noticed nothing and that MLflow holds everything once, as the ledger has it."""
    let_end(scene)
    launch.ended(0, within_s=600)
    assert "not in MLflow" not in launch.output
    assert launch.output.count("MLflow does not answer") == launch.output.count("MLflow answers again") >= 1
    assert final_metrics(scene) == expected
    found = contents(server.url, EXPERIMENT, tmp_path / "held")
    assert len(found) == 8
    assert {run["status"] for run in found.values()} == {"FINISHED"}
    for (kind, key), run in found.items():
        if kind == "trial":
            assert {name: rows[-1][2] for name, rows in run["metrics"].items() if name in expected[key][1]} == (
                expected[key][1]
            )
            assert sorted(step for step, *_ in run["metrics"]["train/kl"]) == list(range(1, EPOCHS + 1))
            assert run["files"].keys() == {"recipe.json", "reliability.json", "samples.png", "sweep.yaml"}


def test_a_server_killed_for_twenty_seconds(
    scene: Scene, server: MlflowServer, without_mlflow: dict[str, Any], tmp_path: Path
) -> None:
    launch = launched(scene, server)
    server.kill()
    gone = time.monotonic()
    away(launch, 20.0)
    server.start()
    measured("MLflow killed and back", time.monotonic() - gone)
    level_after(scene, server, "MLflow killed for 20 s")
    check(scene, server, launch, without_mlflow, tmp_path)


def test_a_server_that_hangs_for_fifteen_seconds(
    scene: Scene, server: MlflowServer, without_mlflow: dict[str, Any], tmp_path: Path
) -> None:
    launch = launched(scene, server)
    server.signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(f"{server.url}/health", timeout=1.0)
    away(launch, 15.0)
    server.signal(signal.SIGCONT)
    level_after(scene, server, "MLflow hung for 15 s")
    check(scene, server, launch, without_mlflow, tmp_path)


def test_a_server_that_never_comes_back_is_made_up_for_by_sync_and_an_empty_one_is_filled_equal(
    scene: Scene, server: MlflowServer, softaug: Softaug, without_mlflow: dict[str, Any], tmp_path: Path
) -> None:
    launch = launched(scene, server)
    server.kill()
    let_end(scene)
    launch.ended(0, within_s=600)
    ends = [json.loads(path.read_text())["ended"] for path in scene.store.glob("trials/*/*/end.json")]
    held_up = time.time() - max(ends)
    measured("launch held up at its end by an MLflow that is away", held_up)
    assert held_up < LAST_TRIES_S + REQUEST_S + 20  # Ray ends, the terminal is written
    assert "6 trials not in MLflow: run softaug sync" in launch.output
    assert final_metrics(scene) == without_mlflow
    server.start()
    synced = softaug("sync", "--store", scene.store, "--tracking-uri", server.url)
    assert synced.returncode == 0, synced.stderr
    held = contents(server.url, EXPERIMENT, tmp_path / "held")
    assert len(held) == 8
    assert {run["status"] for run in held.values()} == {"FINISHED"}
    empty = MlflowServer(tmp_path / "empty")
    empty.folder.mkdir()
    try:
        empty.start()
        assert softaug("sync", "--store", scene.store, "--tracking-uri", empty.url).returncode == 0
        assert differing(contents(empty.url, EXPERIMENT, tmp_path / "rebuilt"), held) == []
    finally:
        empty.kill()


def test_a_launch_that_was_lost_goes_on_while_mlflow_is_away(scene: Scene) -> None:
    sweep, nowhere = scene.sweep(tiny_sweep(seeds=[0])), f"http://127.0.0.1:{free_port()}"
    refused = scene.launch(sweep, "--tracking-uri", nowhere)
    refused.ended(2)
    assert f"error: MLflow at {nowhere}: [Errno 111] Connection refused; start it, correct" in refused.output
    kill = {"at": "sweeps.launched:save", "when": "after", "path": "", "by": "driver", "nth": 1}
    scene.launch(sweep, "--offline", kills=[kill]).ended(-signal.SIGKILL)
    again = scene.launch(sweep, "--tracking-uri", nowhere)
    again.ended(0)
    went_on = "Connection refused; this sweep's last launch was lost, so it goes on all the same, and I keep trying"
    assert f"MLflow at {nowhere}: [Errno 111] {went_on}" in again.output
    assert "2 trials not in MLflow: run softaug sync" in again.output
    assert {end["state"] for end in map(scene.state, ended(scene))} == {"finished"}
    assert len(ended(scene)) == 2


def test_a_cable_pulled_for_twenty_seconds(scene: Scene, without_mlflow: dict[str, Any], tmp_path: Path) -> None:
    with network(["mlflow"]) as hosts:
        server = MlflowServer(tmp_path, host=hosts.addresses["mlflow"], namespace=hosts.namespace("mlflow"))
        try:
            server.start()
            launch = launched(scene, server)
            hosts.cut("mlflow")
            with pytest.raises(OSError, match=r"timed out|No route to host"):
                urllib.request.urlopen(f"{server.url}/health", timeout=1.0)
            away(launch, 20.0)
            hosts.mend("mlflow")
            level_after(scene, server, "F6: MLflow cut off for 20 s")
            check(scene, server, launch, without_mlflow, tmp_path)
        finally:
            server.kill()


def asked(server: MlflowServer) -> int:
    """Return the status of an answer for which MLflow needs its database."""
    search = f"{server.url}/api/2.0/mlflow/experiments/search"
    request = urllib.request.Request(search, b'{"max_results": 1}', {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30.0) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


def test_a_postgresql_that_crashes(
    scene: Scene, database: Postgres, without_mlflow: dict[str, Any], tmp_path: Path
) -> None:
    server = MlflowServer(tmp_path, database=database.url)
    try:
        server.start()
        launch = launched(scene, server)
        database.crash()
        assert asked(server) == 503
        with urllib.request.urlopen(f"{server.url}/health", timeout=5.0) as health:
            assert health.status == 200, "the server itself is well"
        away(launch, 5.0)
        database.start()
        assert "database system was not properly shut down" in database.log
        level_after(scene, server, "F13: PostgreSQL crashed, 5 s down")
        check(scene, server, launch, without_mlflow, tmp_path)
    finally:
        server.kill()
