"""F28: five minutes of faults at random over a submitted sweep that gets more seeds; then nothing is lost or doubled.

Which fault strikes when is a function of the seed: SOFTAUG_SOAK_SEED=7 python -m pytest -rP tests/faults/test_soak.py
"""

import json
import os
import random
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.proxy import Fault, Proxy, proxy_before
from tests.faults.scenes import Launch, Scene, measured, tiny_sweep, trial_keys, until
from tests.postgres import Postgres, postgres
from tests.raylets import Cluster, Node, driver, gone
from tests.servers import MlflowServer

SEED = int(os.environ.get("SOFTAUG_SOAK_SEED", "1"))
SOAK_S = 300.0
BETWEEN_S = (8.0, 24.0)
CHECKPOINT_S = 2.0
HURT = ["503", "429", "drop", "lost", "half"]

EPOCHS = 600  # a trial of a quarter of a minute on a fast machine
MORE_SEEDS = 6  # whenever the sweep is over before the faults are: it lasts for as long as they do on any machine

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1800)]


@dataclass
class Stack:
    """All that can be struck."""

    scene: Scene
    cluster: Cluster
    database: Postgres
    server: MlflowServer
    proxy: Proxy
    supervisor: Launch | None = None
    seeds: int = 0

    def sweep(self) -> Path:
        """Write the sweep with as many seeds as it has got."""
        return self.scene.sweep(tiny_sweep("soak", epochs=EPOCHS, seeds=range(self.seeds)))

    def keep_going(self) -> None:
        """See that a sweep is running: submit it, with more seeds than before, if there is none or it has ended."""
        if self.supervisor is not None:
            if self.supervisor.process.poll() is None:
                return
            self.supervisor.ended(0)
        self.proxy.faults = []  # a first launch is refused without an MLflow
        self.seeds += MORE_SEEDS
        command = ["submit", self.sweep(), "--cluster", self.cluster.dashboard, "--relaunch"]
        command += ["--checkpoint-every", CHECKPOINT_S]
        self.supervisor = self.scene.run(command, self.cluster.login)

    def trial(self) -> psutil.Process:
        """Return the process of a trial that trains, once there is one."""
        found: list[psutil.Process] = []

        def trains() -> bool:
            with self.scene.history.open() as lines:
                last = [json.loads(line) for line in deque(lines, maxlen=50)]
            recent = [each["pid"] for each in last if each["event"] == "epoch" and each["time"] > time.time() - 5]
            for pid in recent[-1:]:
                with suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(pid))
            return bool(found)

        self.await_target(trains, "a trial that trains")
        return found[0]

    def await_target(self, there: Callable[[], Any], what: str) -> None:
        """Wait for something to strike."""

        def kept_going() -> Any:
            self.keep_going()
            return there()

        until(kept_going, what, within_s=150)

    def node(self) -> Node:
        """Return the node of a trial that trains."""
        while True:
            pid = self.trial().pid
            nodes = [node for node in self.cluster.nodes if node.runs(pid)]
            if nodes:
                return nodes[0]

    def replace(self, node: Node) -> None:
        self.cluster.lose(node)
        self.cluster.add()

    def pass_s(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        until(lambda: time.monotonic() >= over, "the end of a fault", within_s=seconds + 10)


def kill_trial(stack: Stack) -> None:
    trial = stack.trial()
    trial.kill()
    until(lambda: gone(trial), "the trial's end")


def kill_raylet(stack: Stack) -> None:
    node = stack.node()
    node.raylet().kill()
    stack.replace(node)


def kill_node(stack: Stack) -> None:
    stack.replace(stack.node())


def hang_node(stack: Stack) -> None:
    node = stack.node()
    node.signal(signal.SIGSTOP)
    stack.pass_s(22.0)
    node.signal(signal.SIGCONT)
    stack.pass_s(3.0)
    stack.replace(node)


def kill_job(stack: Stack) -> None:
    launching: list[psutil.Process] = []
    stack.await_target(lambda: launching.extend(driver(stack.cluster)) or launching, "a job that launches")
    launching[0].kill()
    until(lambda: driver(stack.cluster) != launching, "its end")


def kill_mlflow(stack: Stack) -> None:
    stack.server.kill()
    stack.pass_s(5.0)
    stack.server.start()


def hang_mlflow(stack: Stack) -> None:
    stack.server.signal(signal.SIGSTOP)
    stack.pass_s(12.0)
    stack.server.signal(signal.SIGCONT)


def hurt_mlflow(stack: Stack) -> None:
    stack.proxy.faults = [Fault("runs/", kind, times=3) for kind in HURT]


def crash_postgres(stack: Stack) -> None:
    stack.database.crash()
    stack.pass_s(5.0)
    stack.database.start()


FAULTS: dict[str, Callable[[Stack], None]] = {
    "F1 trial killed": kill_trial,
    "F2 raylet killed": kill_raylet,
    "F3 node killed": kill_node,
    "F4 node hung": hang_node,
    "F7 job killed": kill_job,
    "F9 MLflow killed": kill_mlflow,
    "F10 MLflow hung": hang_mlflow,
    "F11 MLflow hurt": hurt_mlflow,
    "F13 PostgreSQL crashed": crash_postgres,
}


def schedule(seed: int) -> list[tuple[float, str]]:
    """Return what strikes after how many seconds: every fault once, in random order, then at random."""
    drawn = random.Random(seed)
    kinds = drawn.sample(sorted(FAULTS), k=len(FAULTS))
    strikes: list[tuple[float, str]] = []
    now = drawn.uniform(*BETWEEN_S)
    while now < SOAK_S:
        strikes.append((now, kinds[len(strikes)] if len(strikes) < len(kinds) else drawn.choice(sorted(FAULTS))))
        now += drawn.uniform(*BETWEEN_S)
    return strikes


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_strikes_and_a_seed_is_a_schedule(seed: int) -> None:
    strikes = schedule(seed)
    assert schedule(seed) == strikes != schedule(seed + 1)
    assert {kind for _, kind in strikes} == set(FAULTS)
    assert [at for at, _ in strikes] == sorted(at for at, _ in strikes)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    scene = Scene(tmp_path)
    scene.store.mkdir()
    with ExitStack() as opened:
        database = opened.enter_context(postgres())
        server = MlflowServer(tmp_path, database=database.url)
        opened.callback(server.kill)
        server.start()
        proxy = opened.enter_context(proxy_before(server.url))
        told = {"SOFTAUG_STORE": str(scene.store), "MLFLOW_TRACKING_URI": proxy.url}
        cluster = scene.cluster = Cluster(scene.faults("cluster") | told)
        opened.callback(scene.close)
        cluster.begin()
        cluster.add(2)
        yield Stack(scene, cluster, database, server, proxy)


def test_five_minutes_of_faults(stack: Stack) -> None:
    print(f"SOFTAUG_SOAK_SEED={SEED}")
    scene = stack.scene
    stack.trial()
    begun = time.monotonic()
    struck: Counter[str] = Counter()
    for at, kind in schedule(SEED):
        until(lambda at=at: time.monotonic() - begun >= at, "the next fault", within_s=SOAK_S)
        if time.monotonic() - begun > SOAK_S:
            break
        print(f"{time.monotonic() - begun:5.0f} s: {kind}")
        stack.keep_going()
        FAULTS[kind](stack)
        struck[kind] += 1
    measured("F28: faults went on for", time.monotonic() - begun)
    assert set(struck) == set(FAULTS), "each of them struck"
    stack.proxy.faults = []
    assert stack.supervisor is not None
    stack.supervisor.ended(0, within_s=600)
    trials = trial_keys(stack.sweep()).values()
    measured(f"F28: the sweep of {len(trials)} trials took", time.monotonic() - begun)
    starts = {(event["trial"], event["attempt"]) for event in scene.events("start")}
    print(f"F28: {struck.total()} faults struck: {dict(struck)}; {len(starts)} attempts at {len(trials)} trials")
    assert {scene.state(key)["state"] for key in trials} == {"finished"}
    scene.run(["sync", "--store", scene.store, "--tracking-uri", stack.server.url], {}).ended(0)
    scene.doctor()
    cut_off = {(key, number) for key, number in starts if (key, number + 1) in starts}
    scene.check(tracking_uri=stack.server.url, checkpoint_every_s=CHECKPOINT_S, cut_off=cut_off)
