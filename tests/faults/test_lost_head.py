"""F7, F8: the job that launches is killed, the head vanishes with it: `submit --relaunch` launches again by itself."""

import time
from collections.abc import Iterator

import psutil
import pytest

from tests.faults.scenes import Event, Launch, Scene, measured, tiny_sweep, trial_keys, until
from tests.raylets import Cluster, driver, gone

DRIVER_S, HEAD_S = 30.0, 120.0

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Return a scene with a cluster of two nodes, whose head takes jobs."""
    opened = Scene(tmp_path_factory.mktemp("head"))
    opened.store.mkdir()
    told = {"SOFTAUG_STORE": str(opened.store), "MLFLOW_TRACKING_URI": f"sqlite:///{opened.store / 'mlflow.db'}"}
    opened.cluster = Cluster(opened.faults("cluster") | told)
    try:
        opened.cluster.begin()
        opened.cluster.add(2)
        yield opened
    finally:
        opened.close()


@pytest.fixture
def cluster(scene: Scene) -> Cluster:
    assert scene.cluster is not None
    return scene.cluster


def submitted(scene: Scene, cluster: Cluster, name: str) -> tuple[Launch, set[str]]:
    """Submit four trials; return the supervisor and their keys."""
    sweep = scene.sweep(
        tiny_sweep(name, epochs=200, seeds=[2 * len(scene.launches), 2 * len(scene.launches) + 1]), name
    )
    supervisor = scene.run(
        ["submit", sweep, "--cluster", cluster.dashboard, "--relaunch", "--checkpoint-every", 0], cluster.login
    )
    return supervisor, set(trial_keys(sweep).values())


def of(scene: Scene, keys: set[str], *kinds: str) -> list[Event]:
    return [event for event in scene.events(*kinds) if event["trial"] in keys]


def goes_on(scene: Scene, keys: set[str], since: float, what: str) -> float:
    """Wait until a trial that had begun goes on, from a checkpoint; return after how many seconds."""

    def found() -> list[Event]:
        return [event for event in of(scene, keys, "start") if event["time"] > since and event["attempt"] > 1]

    until(found, "the next launch's first trial", within_s=300)
    assert found()[0]["epoch"] > 0
    measured(what, found()[0]["time"] - since)
    return float(found()[0]["time"] - since)


def well_trained(scene: Scene, keys: set[str]) -> None:
    """Wait until one trial has ended and another trains."""
    until(lambda: of(scene, keys, "end"), "a trial's end", within_s=300)
    last = of(scene, keys, "end")[-1]["time"]
    until(lambda: [each for each in of(scene, keys, "saved") if each["time"] > last], "another trial's epochs")


def test_the_job_that_launches_is_killed(scene: Scene, cluster: Cluster) -> None:
    supervisor, keys = submitted(scene, cluster, "job")
    well_trained(scene, keys)
    (launching,) = driver(cluster)
    launching.kill()
    struck = time.time()
    until(lambda: gone(launching), "its end", within_s=20)
    seconds = goes_on(scene, keys, struck, "F7: the job killed, trials go on under the next one")
    supervisor.ended(0, within_s=300)
    assert "job job@paper-0001 ended with exit code" in supervisor.output
    assert "as job job@paper-0002" in supervisor.output
    scene.doctor()
    scene.check(cut_off=superseded(scene))
    assert seconds <= DRIVER_S


def test_the_head_vanishes_and_a_new_one_comes(scene: Scene, cluster: Cluster) -> None:
    supervisor, keys = submitted(scene, cluster, "head")
    well_trained(scene, keys)
    trained = [psutil.Process(event["pid"]) for event in of(scene, keys, "saved")[-1:]]
    assert cluster.head is not None
    struck = time.time()
    cluster.head.kill()
    old = list(cluster.nodes)
    cluster.begin()
    cluster.add(2)
    until(lambda: all(gone(each) for each in trained), "the end of the lost head's trials", within_s=60)
    seconds = goes_on(scene, keys, struck, "F8: the head vanishes, trials go on under a new one")
    for node in old:
        until(lambda node=node: node.process.poll() is not None, "the old nodes' end", within_s=60)
        cluster.lose(node)
    supervisor.ended(0, within_s=300)
    assert "as job head@paper-0002" in supervisor.output
    scene.doctor()
    scene.check(cut_off=superseded(scene))
    assert seconds <= HEAD_S


def superseded(scene: Scene) -> set[tuple[str, int]]:
    """Return the attempts after which others began."""
    starts = [(event["trial"], event["attempt"]) for event in scene.events("start")]
    return {(key, number) for key, number in starts if (key, number + 1) in starts}
