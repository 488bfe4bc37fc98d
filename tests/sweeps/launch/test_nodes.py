"""A cluster's nodes are looked at before the first trial: resources, the store on each of them, who shares sqlite."""

import re
import secrets
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sweeps.launch import cluster, nodes
from sweeps.launch.preflight import Refused
from sweeps.resolved import Resources
from tests import servers
from tests.conftest import Softaug
from tests.faults.scenes import tiny_sweep
from trainables import probe
from trainables.folder_store import FolderStore
from trainables.probe import NodeReport
from trainables.store import Store

OURS = metadata.version("softaug")


def node(host: str, **resources: float) -> dict[str, Any]:
    return {"NodeManagerHostname": host, "NodeID": host, "Alive": True, "Resources": resources}


def test_a_node_that_sees_the_store_has_no_problem_and_leaves_nothing(store: Store) -> None:
    store.write("probe-1", b"nonce")
    report = probe.look(str(store.root), "probe-1", b"nonce")
    assert (report.problem, report.softaug) == (None, OURS)
    assert store.names(".") == ["probe-1"]


def test_a_node_with_another_folder_says_so_and_makes_none(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    problem = str(probe.look(str(elsewhere), "probe-1", b"nonce").problem)
    assert problem.startswith(
        f"the store {elsewhere} is another one there: it lacks what this launch just wrote; mount"
    )
    assert not elsewhere.exists()
    store.write("probe-1", b"old")
    assert "shows old content" in str(probe.look(str(store.root), "probe-1", b"nonce").problem)
    (tmp_path / "file").touch()
    assert "cannot be used: Not a directory" in str(probe.look(str(tmp_path / "file"), "probe-1", b"nonce").problem)


def test_a_node_where_exclusive_creation_fails_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("probe-1", b"nonce")
    monkeypatch.setattr(FolderStore, "create", lambda *_what: True)
    assert "does not keep exclusive creation" in str(probe.look(str(store.root), "probe-1", b"nonce").problem)


def test_a_node_with_another_softaug_is_refused() -> None:
    assert nodes.judged(NodeReport("a", OURS, "3.11.7", None)) is None
    assert nodes.judged(NodeReport("a", OURS, "3.11.7", "why")) == "why"
    problem = nodes.judged(NodeReport("a", "0.0.9", "3.11.7", None))
    assert problem == f"it has softaug 0.0.9, this launch {OURS}; install the same version on every node"


def test_sqlite_is_for_one_machine() -> None:
    assert nodes.sqlite_problems(["a", "a"], "sqlite:////runs/mlflow.db") == []
    assert nodes.sqlite_problems(["a", "b"], "http://mlflow:5000") == []
    assert nodes.sqlite_problems(["a", "b"], None) == []
    (problem,) = nodes.sqlite_problems(["b", "a", "b"], "sqlite:////runs/mlflow.db")
    assert "the cluster has several machines (a, b): sqlite is for one; run an MLflow server" in problem


def test_everything_that_is_wrong_comes_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = [node("head", CPU=0), node("a", CPU=4), node("b", CPU=8, GPU=1)]
    asked: list[str] = []
    monkeypatch.setattr(cluster, "alive_nodes", lambda: alive)
    monkeypatch.setattr(nodes, "_ask", lambda some, *_: [asked.append(each["NodeID"]) or "is bad" for each in some])
    with pytest.raises(Refused) as caught:
        nodes.ready_slots(store, Resources(cpus=1, gpus=2), "sqlite:////runs/mlflow.db")
    resources, sqlite, *stores = caught.value.problems
    assert "a trial needs 1 CPUs and 2 GPUs, the largest node has 8 CPUs and 1 GPUs" in resources
    assert "(a, b, head)" in sqlite
    assert stores == ["node head: is bad", "node a: is bad", "node b: is bad"]
    asked.clear()
    with pytest.raises(Refused, match="node b: is bad"):
        nodes.ready_slots(store, Resources(cpus=1, gpus=0.5), None)
    assert asked == ["b"], "only nodes that can take a trial are asked, if there are any"
    monkeypatch.setattr(nodes, "_ask", lambda some, *_: [None for _ in some])
    assert nodes.ready_slots(store, Resources(cpus=1, gpus=0.5), None) == 2
    assert store.names(".") == []


@pytest.mark.parametrize(
    ("gpus", "expected"), [(0.0, []), (0.25, [0.25]), (1.0, []), (2.0, [])], ids=["none", "quarter", "one", "two"]
)
def test_a_share_of_a_gpu_is_a_share_of_its_memory(
    gpus: float, expected: list[float], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from trainables import trial

    class Ended:
        def __init__(self, *_what: object) -> None: ...

        def numbers(self) -> list[int]:
            return []

        def end(self) -> object:
            return self

    fractions: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", fractions.append)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(trial, "TrialFolder", Ended)
    store.write("launches/tiny@paper-0001.json", b"")
    actor = trial.Trial.__new__(trial.Trial)
    actor.store, actor.key = store, "k" * 64
    actor.job = trial.Job(str(store.root), "tiny@paper-0001", 1, gpus, 60.0, 600.0, "c0ffee", False, {})
    assert actor._begin() == ""
    assert fractions == expected


def test_a_node_that_joins_late_and_sees_another_store_trains_nothing(store: Store) -> None:
    from trainables import trial

    actor = trial.Trial.__new__(trial.Trial)
    actor.store, actor.key, actor.begun = store, "k" * 64, False
    actor.job = trial.Job(str(store.root), "tiny@paper-0001", 1, 0.0, 60.0, 600.0, "c0ffee", False, {})
    report = actor.step()
    assert (report["state"], report["done"]) == ("unsaved", True)
    assert "it is not the store that this launch writes to" in report["note"]
    assert not store.root.exists()


@pytest.mark.slow
def test_a_second_machine_without_the_store_is_found_before_the_first_trial(
    softaug: Softaug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second machine is a namespace of this one, with another host name and an empty folder for the store."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    store, sweep = tmp_path / "runs", tmp_path / "tiny.yaml"
    store.mkdir()
    sweep.write_text(tiny_sweep(epochs=1, seeds=(0,)))
    with servers.ray_head(cpus=1) as head:
        ray = str(Path(sys.executable).with_name("ray"))
        join = [ray, "start", "--block", f"--address={head.address}", "--num-cpus=1", "--disable-usage-stats"]
        join += ["--object-store-memory=100000000", f"--dashboard-agent-listen-port={servers.free_port()}"]
        script = f"hostname second; mount -t tmpfs none {shlex.quote(str(store))}; exec {shlex.join(join)}"
        log = tmp_path / "second.log"
        with servers.process(["unshare", "--mount", "--uts", "sh", "-c", script], log) as second:
            servers.wait_for_text("Ray runtime started", second, log)
            ran = softaug("launch", sweep, "--address", head.address, "--store", store)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert f"error: node second: the store {store} is another one there" in ran.stderr
    assert re.search(r"several machines \(.*second.*\): sqlite is for one", ran.stderr)
    assert ran.stderr.count("error: ") == 2, ran.stderr
    assert list(store.glob("launches/*")) == []
    assert list(store.glob("probe-*")) == []
    assert not (store / "trials").exists()
