"""Ray for one launch: started on this machine and cleaned up after, or joined at an address ("auto": a job's own).

Ray reads its environment when it is imported, so it is imported here only after that is set.
"""

import logging
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from sweeps.launch.preflight import Refused
from sweeps.resolved import Resources
from trainables.launches import process_exists

FOLDER = "softaug-ray-"
OBJECT_STORE_BYTES = 1_000_000_000
ENDED_WITHIN_S = 10.0
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output engine prints every failure even at verbosity 0
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_prestart_worker_first_driver": "0",  # idle processes that no trial would use: theirs know its class
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's own state is never read
    "TUNE_WARN_THRESHOLD_S": "60",
}


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """Start Ray here (address "local") or join the cluster at host:port; leave it as it was found.

    "auto" is the cluster that runs this process as a job: what Ray calls auto is whatever runs on the machine.
    """
    os.environ.update(QUIET)
    with _local() if address == "local" else _joined(os.environ["RAY_ADDRESS"] if address == "auto" else address):
        yield


@contextmanager
def _joined(address: str) -> Iterator[None]:
    import ray

    _silence()
    try:
        with _refusing(f"Ray address {address}"):
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        yield
    finally:
        ray.shutdown()


@contextmanager
def _local() -> Iterator[None]:
    # A token of this launch's own: nobody else on the machine can join, and Ray writes none into the home folder.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    _silence()
    folder = tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-")
    try:
        with _refusing(f"Ray does not start on this machine, in {folder} (TMPDIR makes it another folder)"):
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=os.path.join(folder, "r"),  # Ray opens its own to everybody; ours, above it, is not
            )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Refuse the launch, in a line, if Ray fails here."""
    try:
        yield
    except Exception as error:  # it raises Exception itself, as when a busy machine takes too long
        said = " ".join(str(error).split())[:300]
        raise Refused([f"{what}: {said or type(error).__name__}"]) from None


def slots(needs: Resources) -> int:
    """Return how many trials fit at once. Raises Refused if no node can give what one needs."""
    nodes = [node["Resources"] for node in alive_nodes()]
    found = sum(fitting(node, needs) for node in nodes)
    if found == 0:
        cpus, gpus = (max(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
        raise Refused(
            [
                f"resources: a trial needs {needs.cpus} CPUs and {needs.gpus:g} GPUs, the largest node has "
                f"{cpus:g} CPUs and {gpus:g} GPUs; choose another --scale, or give --gpus 0 to train on CPUs"
            ]
        )
    return found


def alive_nodes() -> list[dict[str, Any]]:
    """Return Ray's description of every node that is alive."""
    import ray

    nodes: Callable[[], list[dict[str, Any]]] = ray.nodes  # which Ray gives no types
    return [node for node in nodes() if node["Alive"]]


def fitting(node: Mapping[str, float], needs: Resources) -> int:
    """Return how many trials fit on a node with so many "CPU" and "GPU"."""
    by_cpu = int(node.get("CPU", 0) // needs.cpus)
    if needs.gpus == 0:
        return by_cpu
    whole = int(node.get("GPU", 0))
    by_gpu = int(whole // needs.gpus) if needs.gpus >= 1 else whole * int(1 / needs.gpus)
    return min(by_cpu, by_gpu)


def remove_abandoned() -> None:
    """End and delete what killed launches of this machine left behind: processes of their Ray, and its folders.

    An agent notices the end of its Ray after a minute, a worker that was only just starting on a busy machine as late.
    """
    folders = Path(tempfile.gettempdir()).glob(f"{FOLDER}*")
    abandoned = [each for each in folders if not process_exists(int(each.name.removeprefix(FOLDER).partition("-")[0]))]
    if abandoned:
        _end_processes(abandoned)
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)


def _end_processes(folders: list[Path]) -> None:
    """Kill the processes that write to a file in one of these folders: every process of a Ray has its log there."""
    ended = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            written = [Path(file.path) for file in process.open_files() if file.mode != "r"]
            if any(folder in path.parents for path in written for folder in folders):
                process.kill()
                ended.append(process)
    psutil.wait_procs(ended, timeout=ENDED_WITHIN_S)


def _silence() -> None:
    """Keep Ray and Tune from printing over our own lines; what kills a trial's process `sweeps.launch.deaths` tells."""
    from ray._private import worker

    worker.print_to_stdstream = lambda *_lines, **_options: None  # its obituaries, which no setting switches off
    for name in ("ray", "ray.tune", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
