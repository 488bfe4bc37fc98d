"""The nodes of a cluster that was joined: whether each that can take a trial sees the store, before the first trial.

Ray Tune would notice at the first checkpoint, and a ledger on a node's own disk would be lost without a word.
"""

import secrets
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from sweeps.launch import cluster
from sweeps.launch.preflight import Refused
from sweeps.resolved import Resources
from trainables import probe
from trainables.probe import NodeReport
from trainables.store import Store

ANSWERS_WITHIN_S = 90.0  # a process has to start on every node
SQLITE = (
    "MLflow's database is a sqlite file, and the cluster has several machines ({}): sqlite is for one; "
    "run an MLflow server and give its address with --tracking-uri, or launch with --offline"
)


def ready_slots(store: Store, needs: Resources, tracking_uri: str | None) -> int:
    """Return how many trials fit on the cluster at once. Raises Refused with everything that is wrong with it."""
    problems: list[str] = []
    slots = 0
    try:
        slots = cluster.slots(needs)
    except Refused as refused:
        problems += refused.problems
    nodes = cluster.alive_nodes()
    problems += sqlite_problems([str(node["NodeManagerHostname"]) for node in nodes], tracking_uri)
    able = [node for node in nodes if cluster.fitting(node["Resources"], needs)]
    problems += store_problems(store, able or nodes)
    if problems:
        raise Refused(problems)
    return slots


def sqlite_problems(hosts: Sequence[str], tracking_uri: str | None) -> list[str]:
    """Return a problem if several machines would share MLflow's sqlite file."""
    machines = sorted(set(hosts))
    if len(machines) < 2 or not (tracking_uri or "").startswith("sqlite:"):
        return []
    return [SQLITE.format(", ".join(machines))]


def store_problems(store: Store, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a problem for every one of these nodes that does not see the store, or runs another softaug."""
    name, content = f"probe-{secrets.token_hex(16)}", secrets.token_bytes(32)
    store.write(name, content)
    try:
        answers = _ask(nodes, store.location, name, content)
    finally:
        store.delete(name)
    return [f"node {node['NodeManagerHostname']}: {said}" for node, said in zip(nodes, answers, strict=True) if said]


def judged(report: NodeReport) -> str | None:
    """Return what is wrong with a node, by what it says of itself."""
    ours = metadata.version("softaug")
    if report.softaug != ours:
        return f"it has softaug {report.softaug}, this launch {ours}; install the same version on every node"
    return report.problem


def _ask(nodes: Sequence[Mapping[str, Any]], location: str, name: str, content: bytes) -> list[str | None]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(probe.look)
    asked = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            location, name, content
        )
        for node in nodes
    ]
    ray.wait(asked, num_returns=len(asked), timeout=ANSWERS_WITHIN_S)
    return [_answer(each) for each in asked]


def _answer(asked: Any) -> str | None:
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    try:
        return judged(ray.get(asked, timeout=0))
    except GetTimeoutError:
        return f"no answer within {ANSWERS_WITHIN_S:.0f} s"
    except RayError as error:
        missing = [line for line in str(error).splitlines() if "ModuleNotFoundError" in line]
        if missing:
            return f"it has no softaug, or an older one ({missing[-1].strip()}); install the same version on every node"
        return " ".join(str(error).split())[:300]
