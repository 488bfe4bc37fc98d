"""How long does a small sweep take from command to results?   python benchmarks/quickstart.py

Question: 12 cells x 3 seeds of the quickstart, 36 trainings of 150 epochs, on two CPU cores: `softaug launch` against
the same trainings as an ordinary Ray Tune user writes them (quickstart_peer.py). Seconds of the whole process, from
its start to its end, tracking in MLflow on sqlite included; one after the other, once each. The test errors of both
sides stand side by side: their random numbers differ, so only the means can agree. Cost: about eight minutes on an
idle machine; --epochs shortens a trial of the benchmark, not the figure that is published.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import yaml

from softaug.estimate import Estimate, estimate
from sweeps.files.catalog import locate
from sweeps.files.expand import load
from sweeps.resolved import ResolvedSweep
from sweeps.survey import survey
from trainables.attempt import cpu_name
from trainables.store import open_store

EPOCHS = 150
CONCURRENT = 2
ONE_CELL = {"label smoothing": 0.3, "soft weight": 0.3}  # arms that keep one sigma, which leaves 12 cells of 16
PACKAGES = ("softaug", "torch", "torchvision", "ray", "mlflow")

Errors = dict[tuple[str, float], Estimate]  # (arm, sigma; 0 without a Gaussian crop) -> test top-1 error in percent


def write_sweep(path: Path, epochs: int) -> None:
    """Write the catalog's quickstart with 12 of its cells and this many epochs."""
    sweep = yaml.safe_load(locate("quickstart").read_text(encoding="utf-8"))
    sweep["name"] = "quickstart-benchmark"
    sweep["base"]["optim"]["epochs"] = epochs
    sweep["scales"] = {"laptop": {}}
    for arm in sweep["arms"]:
        if arm["name"] in ONE_CELL:
            del arm["over"]
            arm["set"]["crop"]["sigma"] = ONE_CELL[arm["name"]]
    path.write_text(yaml.safe_dump(sweep, allow_unicode=True, sort_keys=False), encoding="utf-8")


def run_softaug(folder: Path, sweep: Path) -> float:
    """Launch the sweep; return the seconds of the whole process."""
    softaug = Path(sys.executable).with_name("softaug")
    tracking = f"sqlite:///{folder}/mlflow.db"
    options = ["--store", folder, "--tracking-uri", tracking, "--max-concurrent", CONCURRENT]
    return seconds([softaug, "launch", sweep, *options], folder)


def run_peer(folder: Path, epochs: int) -> float:
    """Run the peer; return the seconds of the whole process."""
    peer = Path(__file__).with_name("quickstart_peer.py")
    return seconds([sys.executable, peer, "--folder", folder, "--epochs", epochs], folder)


def seconds(command: list[object], folder: Path) -> float:
    """Run a command in a folder, its output in a file there; return its seconds, or exit with the output's end."""
    output = folder / "output.txt"
    words = [str(word) for word in command]
    # Keeps Ray's session in the folder and its token out of the home folder.
    environment = {**os.environ, "RAY_TMPDIR": str(folder), "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with output.open("w") as file:
        started = time.perf_counter()
        ended = subprocess.run(words, check=False, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
        elapsed = time.perf_counter() - started
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with {ended.returncode}:\n{output.read_text()[-3000:]}")
    return elapsed


def softaug_errors(folder: Path, sweep: ResolvedSweep) -> Errors:
    """Read softaug's test errors from its store."""
    now = survey(open_store(folder), sweep)
    return {
        (cell.arm, cell.recipe["crop"].get("sigma", 0.0)): now.estimates(cell)["test/top1_error"]
        for cell in sweep.cells
    }


def peer_errors(folder: Path) -> Errors:
    """Read the peer's test errors from its results."""
    rows = pd.read_csv(folder / "results.csv")
    cells = zip(rows["config/cell/arm"], rows["config/cell/sigma"], strict=True)
    errors: dict[tuple[str, float], list[float]] = {}
    for cell, error in zip(cells, rows["test_top1_error"], strict=True):
        errors.setdefault(cell, []).append(error)
    return {cell: estimate(values) for cell, values in errors.items()}


def print_errors(ours: Errors, peer: Errors) -> None:
    """Print the mean test errors of both sides, cell by cell, and over all cells."""
    seeds = [{cell: value.n for cell, value in sorted(side.items())} for side in (ours, peer)]
    if seeds[0] != seeds[1]:
        raise SystemExit(f"the two sides trained different cells or seeds:\n{seeds[0]}\n{seeds[1]}")
    print(f"{'top-1 test error %, mean ± SE':34}{'softaug':>14}{'peer':>14}")
    for (arm, sigma), value in ours.items():
        title = f"{arm}, sigma {sigma}" if sigma else arm
        print(f"{title:34}{_shown(value):>14}{_shown(peer[arm, sigma]):>14}")
    means = [estimate(value.mean for value in side.values()).mean for side in (ours, peer)]
    print(f"{'mean of the cells':34}{means[0]:>7.2f}{means[1]:>14.2f}")


def _shown(value: Estimate) -> str:
    return f"{value.mean:.2f} ± {value.se:.2f}"


def main() -> None:
    """Time both sides and print what they took and what they found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="to try the benchmark; published with 150")
    epochs = parser.parse_args().epochs
    print(f"{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        folders = [Path(temporary) / side for side in ("softaug", "peer")]
        for folder in folders:
            folder.mkdir()
        file = Path(temporary) / "quickstart-benchmark.yaml"
        write_sweep(file, epochs)
        sweep = load(str(file))
        print(f"{len(sweep.cells)} cells x {len(sweep.seeds)} seeds, {epochs} epochs, {CONCURRENT} at a time\n")
        ours, peer = run_softaug(folders[0], file), run_peer(folders[1], epochs)
        print_errors(softaug_errors(folders[0], sweep), peer_errors(folders[1]))
    print(f"\nsoftaug launch           {ours:6.1f} s")
    print(f"Ray Tune, the usual way  {peer:6.1f} s")
    print(f"ratio                    {peer / ours:6.1f}")


if __name__ == "__main__":
    main()
