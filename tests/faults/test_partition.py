"""F5: a node's cable is pulled for half a minute: its trial goes on elsewhere, and what was cut off ends nothing."""

import time
from collections.abc import Iterator

import psutil
import pytest

from tests.faults.scenes import Scene, measured, tiny_sweep, trial_keys, until
from tests.networks import Network, network
from tests.raylets import Cluster, gone

ELSEWHERE_S, GONE_S, CUT_S = 20.0, 60.0, 30.0

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Network]:
    """Return a network of this machine, where the head is, and two more hosts."""
    with network(["a", "b"]) as made:
        yield made


@pytest.fixture
def scene(hosts: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    opened = Scene(tmp_path_factory.mktemp("partition"))
    cluster = opened.cluster = Cluster(opened.faults("cluster"), host=hosts.here)
    try:
        cluster.begin(dashboard=False)
        for host, address in hosts.addresses.items():
            cluster.add(namespace=hosts.namespace(host), host=address)
        yield opened
    finally:
        opened.close()


def test_a_node_is_cut_off_for_half_a_minute(scene: Scene, hosts: Network) -> None:
    cluster = scene.cluster
    assert cluster is not None
    sweep = scene.sweep(tiny_sweep(epochs=500, seeds=[0]))
    launch = scene.launch(sweep, "--max-concurrent", 1, "--checkpoint-every", 0)
    keys = set(trial_keys(sweep).values())
    until(lambda: len(scene.events("epoch")) >= 3, "a trial that trains")
    lost = scene.events("epoch")[-1]
    node = cluster.node_of(lost["pid"])
    host = list(hosts.addresses)[cluster.nodes.index(node)]
    zombie = psutil.Process(lost["pid"])
    hosts.cut(host)
    cut = time.time()
    assert not gone(zombie), "it is alive, where nobody can end it"
    until(lambda: scene.events("start", trial=lost["trial"], attempt=2), "the next attempt")
    (again,) = scene.events("start", trial=lost["trial"], attempt=2)
    measured("F5: a node cut off, its trial runs elsewhere", again["time"] - cut)
    assert again["epoch"] > 0
    assert not node.runs(again["pid"])
    until(lambda: time.time() - cut >= CUT_S, "the end of the outage")
    hosts.mend(host)
    until(lambda: gone(zombie), "the end of the process that was cut off", within_s=GONE_S)
    measured("F5: a node cut off, its trial's process is gone", time.time() - cut)
    cluster.lose(node)
    launch.ended(0, within_s=300)
    assert {scene.state(key)["state"] for key in keys} == {"finished"}
    assert scene.state(lost["trial"])["attempt"] >= 2
    scene.doctor()
    scene.check(cut_off={(lost["trial"], 1)})
    assert again["time"] - cut <= ELSEWHERE_S
