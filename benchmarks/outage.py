"""What does a sweep lose when MLflow goes away?   python benchmarks/outage.py

Question: wall seconds of `softaug launch`, 6 trials on two CPU cores, tracked by a real MLflow server; undisturbed, and
with the server killed for the middle third of that time and started again. Pairs of launches, alternating; medians and
their ratio. Each disturbed launch must end with every run in MLflow, as the undisturbed one does. The server's own
start takes CPU seconds from the trials, which counts against us. Target: a ratio of at most 1.10. Cost: about 25
minutes on an idle machine for five pairs; --repetitions and --epochs try the benchmark.
"""

import argparse
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

from mlflow import MlflowClient

from trainables.attempt import cpu_name

REPETITIONS = 5
EPOCHS = 2000
TARGET = 1.10
START_S = 240.0
SOFTAUG = str(Path(sys.executable).with_name("softaug"))
SWEEP = """
name: outage
question: What does a sweep lose when MLflow goes away?
seeds: [0, 1, 2]
baseline: standard crop
base:
  data: {name: digits, train_images: 100}
  model: {name: resnet8, width: 4}
  flip: 0.0
  optim: {epochs: EPOCHS, batch_size: 50}
arms:
  - {name: standard crop, set: {crop: {kind: uniform, radius_px: 1}}}
  - {name: soft target, set: {crop: {kind: gaussian, sigma: 0.3}, softening: {apply_to: target, k: 2.0}}}
"""


class Server:
    """An MLflow server on sqlite in a folder, always at the same address."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool) -> None:
        """Start it; if asked to, return when it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
        command += ["--port", self.url.rpartition(":")[2], "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_S
        while wait:
            with suppress(OSError):
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                return
            if time.monotonic() > deadline:
                raise SystemExit((self.folder / "log.txt").read_text()[-3000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill it and all its processes."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def launch(folder: Path, epochs: int, away: tuple[float, float] | None) -> float:
    """Return the seconds of a launch; the server is away between these seconds of it. Exits if anything is missing."""
    folder.mkdir()
    sweep, output = folder / "outage.yaml", folder / "output.txt"
    sweep.write_text(SWEEP.replace("EPOCHS", str(epochs)), encoding="utf-8")
    server = Server(folder / "mlflow")
    # Keeps Ray's session in the folder and its token out of the home folder.
    environment = {**os.environ, "RAY_TMPDIR": str(folder), "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    command = [SOFTAUG, "launch", str(sweep), "--store", str(folder / "runs"), "--tracking-uri", server.url]
    try:
        server.start(wait=True)
        with output.open("w") as file:
            started = time.perf_counter()
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
            if away is not None:
                _take_away(server, process, started, away)
            code = process.wait()
            elapsed = time.perf_counter() - started
        if code != 0 or "not in MLflow" in output.read_text() or finished_runs(server.url) != 8:
            raise SystemExit(f"exit code {code}:\n{output.read_text()[-3000:]}")
    finally:
        server.kill()
    return elapsed


def _take_away(server: Server, process: "subprocess.Popen[bytes]", started: float, away: tuple[float, float]) -> None:
    acts: list[Callable[[], None]] = [server.kill, partial(server.start, wait=False)]
    for moment, act in zip(away, acts, strict=True):
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, moment - (time.perf_counter() - started)))
            raise SystemExit("the launch ended before the outage did; use more --epochs")
        act()


def finished_runs(url: str) -> int:
    """Return how many runs of the sweep MLflow shows as finished: six trials and two cells."""
    client = MlflowClient(url)
    experiment = client.get_experiment_by_name("outage@paper")
    assert experiment is not None
    return len(client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'"))


def main() -> None:
    """Print the seconds of every launch, the medians and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="published with 5")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each trial; published with 2000")
    options = parser.parse_args()
    print(f"{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    print(", ".join(f"{name} {version(name)}" for name in ("softaug", "torch", "ray", "mlflow")))
    undisturbed: list[float] = []
    disturbed: list[float] = []
    with tempfile.TemporaryDirectory(prefix="outage-") as folder:
        for number in range(options.repetitions):
            undisturbed.append(launch(Path(folder) / f"{number}a", options.epochs, None))
            print(f"undisturbed {undisturbed[-1]:6.1f} s", end="   ", flush=True)
            away = (undisturbed[-1] / 3, undisturbed[-1] * 2 / 3)
            disturbed.append(launch(Path(folder) / f"{number}b", options.epochs, away))
            print(f"MLflow away for {away[1] - away[0]:.0f} s: {disturbed[-1]:6.1f} s", flush=True)
    medians = statistics.median(undisturbed), statistics.median(disturbed)
    print(f"\nmedians of {options.repetitions}: {medians[0]:.1f} s undisturbed, {medians[1]:.1f} s with the outage")
    print(f"ratio {medians[1] / medians[0]:.3f}   (target: at most {TARGET:.2f})")


if __name__ == "__main__":
    main()
