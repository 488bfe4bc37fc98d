"""What a trial's process wrote while it crashed, brought into a store where it could not write it itself.

`faulthandler` can write to a file of its machine and nowhere else. Where the store is a folder that is the file;
else a task on that node reads it. If the node is gone, so are the words.
"""

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.launch import cluster
from trainables.ledger import AttemptFolder
from trainables.store import open_store

ANSWERS_WITHIN_S = 20.0  # a process may have to start there


def bring(attempt: AttemptFolder) -> None:
    """Write the crash of an attempt into the store unless it is there or nothing is known of it."""
    store, begun = attempt.store, attempt.trial.attempt(attempt.number)
    if begun is None or store.place(attempt.crash_path) == str(store.scratch(attempt.crash_path)):
        return
    read = ray.remote(num_cpus=0, max_retries=0)(take)
    for node in cluster.alive_nodes():
        if node["NodeManagerHostname"] == begun.host:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked = read.options(scheduling_strategy=there).remote(store.location, attempt.crash_path)
            try:
                words = ray.get(asked, timeout=ANSWERS_WITHIN_S)
            except (GetTimeoutError, RayError):
                continue
            if words:
                store.write(attempt.crash_path, words)


def take(location: str, path: str) -> bytes:
    """Return what a process of this machine wrote for this path of a store, and delete it; nothing if it did not."""
    file = open_store(location).scratch(path)
    words = file.read_bytes() if file.exists() else b""
    file.unlink(missing_ok=True)
    return words
