"""Do 24 trials run at once on four nodes?   python benchmarks/concurrency.py

Question: whether a launch keeps 24 trials going at once on a cluster of four raylets of six CPUs each, started by `ray
start` with a token, and what that takes: seconds from the first trial's start until all 24 run, CPU seconds and peak
memory of the driver. A stub's fit (concurrency_stub.py) waits until as many have begun as should run at once, and
notes the node that it is on. MLflow on sqlite. All nodes are on this machine: 24 processes with torch, about 8 GB.
Target: 24 at once, six on each node. Cost: three to five minutes on two cores.
"""

import argparse
import os
import resource
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

NODES, CPUS = 4, 6
SLOTS = NODES * CPUS
TRIALS = 2 * SLOTS
START_S = 240.0
SWEEP = """
name: concurrency
question: Do 24 trials run at once?
seeds: [0]
baseline: standard crop
base:
  data: {name: digits, train_images: 100}
  model: {name: resnet8, width: 4}
  flip: 0.0
  optim: {epochs: 1, batch_size: 50}
arms:
  - {name: standard crop, set: {crop: {kind: uniform, radius_px: 1}}}
"""


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def raylet(folder: Path, number: int, head: str | None) -> Iterator[str]:
    """Run a node, the head if there is none yet; yield the head's address. It ends as by `ray stop`: with SIGTERM."""
    port, log = free_port(), folder / f"node-{number}.txt"
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--num-cpus={CPUS}"]
    command += ["--disable-usage-stats", "--object-store-memory=200000000"]
    command += [f"--dashboard-agent-listen-port={free_port()}"]
    if head is None:
        command += ["--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false"]
        command += [f"--ray-client-server-port={free_port()}"]
    else:
        command += [f"--address={head}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + START_S
        while "Ray runtime started" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"node {number} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield head or f"127.0.0.1:{port}"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()


def launched(folder: Path, address: str) -> dict[str, Any]:
    """Launch the trials on this cluster; return how it went. Exits if one is missing."""
    import concurrency_stub
    from rich.console import Console

    from sweeps.cli.live import live_view
    from sweeps.files.expand import resolve
    from sweeps.launch.launch import Settings, launch
    from trainables.ledger import TrialFolder
    from trainables.store import open_store

    sweep, store = resolve(SWEEP, "concurrency.yaml", seeds=range(TRIALS)), open_store(folder / "runs")
    uri = f"sqlite:///{folder / 'runs' / 'mlflow.db'}"
    started = time.time()
    with (
        mock.patch("sweeps.launch.train.Trial", concurrency_stub.WaitingTrial),
        (folder / "log.txt").open("w") as log,
        live_view(Console(file=log, width=120), store, sweep) as view,
    ):
        outcome = launch(sweep, Settings(store, None, uri, address=address), view)
    used = resource.getrusage(resource.RUSAGE_SELF)
    if outcome.survey.count("finished") != TRIALS or outcome.missing_in_mlflow:
        raise SystemExit((folder / "log.txt").read_text()[-3000:])
    trials = [TrialFolder(store, key) for key in sweep.trial_keys]
    begun = sorted(attempt.started for trial in trials for attempt in trial.attempts())
    return {
        "first": begun[0] - started,
        "all": begun[SLOTS - 1] - begun[0],
        "total": time.time() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1000,
        "nodes": Counter(path.read_text() for path in (folder / "nodes").iterdir()),
    }


def main() -> None:
    """Print how it went."""
    argparse.ArgumentParser(description=str(__doc__).partition("\n")[0]).parse_args()
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # before Ray is imported
    from sweeps.launch.cluster import QUIET

    os.environ.update(QUIET)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="many-") as temporary, ExitStack() as stack:
        folder, address = Path(temporary), None
        (folder / "nodes").mkdir()
        os.environ["CONCURRENCY_FOLDER"] = temporary  # the nodes' processes have it, too
        os.environ["CONCURRENCY_SLOTS"] = str(SLOTS)
        for number in range(NODES):
            address = stack.enter_context(raylet(folder, number, address))
        found = launched(folder, str(address))
    from trainables.attempt import cpu_name  # with torch, whose memory would be measured

    print(f"{cpu_name()}, {os.cpu_count()} cores, load {load:.1f} before")
    print(f"{SLOTS} of {TRIALS} trials ran at once: on {NODES} nodes {sorted(found['nodes'].values())}")
    print(f"first trial after {found['first']:.1f} s, {SLOTS} at once {found['all']:.1f} s later, ", end="")
    print(f"over after {found['total']:.1f} s; driver {found['cpu']:.1f} CPU s, {found['peak_mb']:.0f} MB")


if __name__ == "__main__":
    main()
