"""How long does `softaug status` take on a large store?   python benchmarks/status.py

Question: seconds of `softaug status` with and without the name of a sweep, each a fresh process, on a store of 1,000
finished trials in 100 cells with 100 epochs each; beside `softaug --help` on the same machine; medians of seven,
alternating. Target: under 1 s. Cost: about 20 seconds, most of it for writing the store.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sweeps import launched
from sweeps.files.expand import resolve
from sweeps.resolved import ResolvedSweep
from trainables import launches
from trainables.ledger import Attempt, End, Row, TrialFolder
from trainables.store import Store, open_store

PROCESSES = 7
TARGET_S = 1.0
EPOCHS = 100
SIGMAS = [round(0.003 * step, 3) for step in range(1, 100)]
SWEEP = f"""
name: large
question: How long does status take?
seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
baseline: standard crop
base: {{data: {{name: digits}}, model: {{name: resnet8}}, flip: 0.0, optim: {{epochs: {EPOCHS}}}}}
axes: {{sigma: {{field: crop.sigma, label: "σ", values: {SIGMAS}}}}}
arms:
  - {{name: standard crop, set: {{crop: {{kind: uniform, radius_px: 1}}}}}}
  - {{name: hard Gaussian crop, set: {{crop: {{kind: gaussian}}}}, over: [sigma]}}
"""


def fill(store: Store) -> ResolvedSweep:
    """Write a store as a launch of the sweep leaves it, without weights and pictures, which status does not read."""
    sweep = resolve(SWEEP, "large.yaml")
    launched.save(store, sweep)
    launch = launches.acquire(store, sweep.experiment)
    launches.beat(store, launch, ended=True)
    attempt = Attempt(number=1, launch=launch.id, host="h", pid=1, started=0.0, git_commit="c", git_dirty=False)
    metrics = {"train/kl": 1.0, "train/cross_entropy": 1.0, "train/lr": 0.1, "train/confidence": 0.9}
    rows = [Row(epoch=n, time=float(n), seconds=float(n), metrics=metrics) for n in range(1, EPOCHS + 1)]
    names = ("test/top1_error", "test/ece", "test/nll", "test/brier")
    for number, recipe in enumerate(sweep.recipes()):
        trial = TrialFolder(store, recipe.key)
        trial.write_recipe(recipe)
        folder = trial.begin(attempt)
        if folder is None:
            raise SystemExit("the store was not empty")
        folder.write_rows(rows)
        final = dict.fromkeys(names, 2.0 + number % 7)
        trial.finish(End(state="finished", attempt=1, epochs=EPOCHS, metrics=final, ended=100.0, seconds=100.0))
    return sweep


def seconds(arguments: list[str]) -> float:
    """Return the seconds of one process of the command line. Raises CalledProcessError if it fails."""
    started = time.perf_counter()
    command = [str(Path(sys.executable).with_name("softaug")), *arguments]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        sweep = fill(open_store(folder))
        store = ["--store", folder]
        commands = [["--help"], ["status", *store], ["status", "large", *store], ["status", "large", "--json", *store]]
        # The sweep's file is not in the catalog: status reads it from the store.
        rounds = [[seconds(command) for command in commands] for _ in range(PROCESSES)]
    print(f"{len(sweep.trial_keys)} trials in {len(sweep.cells)} cells")
    for command, times in zip(commands, zip(*rounds, strict=True), strict=True):
        target = "" if command == ["--help"] else f"   (target: under {TARGET_S} s)"
        words = " ".join(word for word in command if word not in store)
        print(f"softaug {words:24} {statistics.median(times):6.2f} s{target}")


if __name__ == "__main__":
    main()
