"""What does a trial cost the launch itself, and does that grow with their number?   python benchmarks/scale.py

Question: driver seconds per trial: CPU seconds (user and system, all threads) of the launch's own process with N stub
trials, less those with one, over N - 1. So it is what the driver works, not what it waits for; the start of Ray and
the imports are left out. Beside it the wall seconds per trial from the first trial's start to the last one's end, the
same over the first and the last tenth of the trials, and peak resident memory of the process and of the largest that
it waited for (Ray's servers, the tracker). Everything is real but fit, which returns at once (overhead_stub.py): ten
seeds a cell, two trials at a time, MLflow on sqlite, a view that prints lines. Then, on the largest sweep, seconds of
`softaug status`, of `sync` with all runs in MLflow and into an empty one, and of `report`.
Targets: at 10,000 trials at most 1.2 times the driver seconds at 1,000, at most 0.1 s, at most 1 GB.
Cost: about an hour on two idle cores, most of it for MLflow; --sizes 100,1000 takes six minutes, --offline leaves out
all that is MLflow's.
"""

import argparse
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

SLOTS = 2
SEEDS = 10
TARGET_RATIO, TARGET_S, TARGET_MB = 1.2, 0.1, 1000
SOFTAUG = str(Path(sys.executable).with_name("softaug"))
SWEEP = """
name: scale
question: What does a trial cost the launch?
seeds: SEEDS
baseline: standard crop
base:
  data: {name: digits, train_images: 100}
  model: {name: resnet8, width: 4}
  flip: 0.0
  optim: {epochs: 1, batch_size: 50}
axes:
  sigma: {field: crop.sigma, label: "σ", values: SIGMAS}
  k: {field: softening.k, label: "k", values: KS}
arms:
  - {name: standard crop, set: {crop: {kind: uniform, radius_px: 1}}}
  - name: soft target
    set: {crop: {kind: gaussian}, softening: {apply_to: target}}
    over: [sigma, k]
"""


def sweep_of(trials: int) -> str:
    """Return a sweep file with so many trials: one, or a multiple of `SEEDS` from two cells on."""
    if trials == 1:
        return SWEEP.partition("axes:")[0].replace("SEEDS", "[0]") + "arms:" + _arms().partition("  - name: soft")[0]
    cells = trials // SEEDS - 1
    if trials % SEEDS or cells < 1:
        raise SystemExit(f"{trials} trials: give 1 or a multiple of {SEEDS} from {2 * SEEDS} on")
    rows = max(count for count in range(1, int(cells**0.5) + 1) if cells % count == 0)
    sigmas = [round(0.01 * step, 2) for step in range(1, rows + 1)]
    ks = [round(0.01 * step, 2) for step in range(1, cells // rows + 1)]
    text = SWEEP.replace("SEEDS", str(list(range(SEEDS))))
    return text.replace("SIGMAS", str(sigmas)).replace("KS", str(ks))


def _arms() -> str:
    return SWEEP.partition("arms:")[2]


def measure(folder: Path, trials: int, *, offline: bool) -> dict[str, float]:
    """Launch so many stub trials in this process, which must be fresh; return what they cost."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # before Ray is imported
    from sweeps.launch.cluster import QUIET

    os.environ.update(QUIET)
    import overhead_stub
    from rich.console import Console

    from sweeps.cli.live import live_view
    from sweeps.files.expand import resolve
    from sweeps.launch.launch import Settings, launch
    from trainables.ledger import TrialFolder
    from trainables.store import open_store

    sweep, store = resolve(sweep_of(trials), "scale.yaml"), open_store(folder / "runs")
    uri = None if offline else f"sqlite:///{folder / 'runs' / 'mlflow.db'}"
    started = time.time()
    with (
        mock.patch("sweeps.launch.train.Trial", overhead_stub.StubTrial),
        (folder / "log.txt").open("w") as log,
        live_view(Console(file=log, width=120), store, sweep) as view,
    ):
        outcome = launch(sweep, Settings(store, None, uri, max_concurrent=SLOTS), view)
    used = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    if outcome.survey.count("finished") != trials or (outcome.missing_in_mlflow and not offline):
        raise SystemExit((folder / "log.txt").read_text()[-3000:])
    ends = sorted(end.ended for key in sweep.trial_keys if (end := TrialFolder(store, key).end()) is not None)
    begun = min(each.started for key in sweep.trial_keys[:SLOTS] for each in TrialFolder(store, key).attempts())
    tenth = max(trials // 10, 1)
    return {
        "trials": trials,
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": (ends[-1] - begun) / trials,
        "first_s": (ends[tenth - 1] - begun) / tenth,
        "last_s": (ends[-1] - ends[-tenth - 1]) / tenth if trials > tenth else 0.0,
        "peak_mb": used.ru_maxrss / 1000,
        "child_mb": children.ru_maxrss / 1000,
        "delivered_s": 0.0 if offline else time.time() - ends[-1],
        "launch_s": time.time() - started,
    }


def measured(folder: Path, trials: int, *, offline: bool) -> dict[str, float]:
    """Return what `measure` says in a process of its own."""
    folder.mkdir()
    command = [sys.executable, __file__, "--measure", str(trials), "--folder", str(folder)]
    ran = subprocess.run([*command, *(["--offline"] if offline else [])], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return found


def seconds(*arguments: str) -> float:
    """Return the seconds of a command of softaug. Raises CalledProcessError if it fails."""
    started = time.perf_counter()
    subprocess.run([SOFTAUG, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def commands(folder: Path) -> None:
    """Print the seconds of what is asked of a large sweep."""
    store = ["--store", str(folder / "runs")]
    empty = f"sqlite:///{folder / 'empty.db'}"
    timed: dict[str, list[str]] = {
        "status": ["status", *store],
        "sync, nothing missing": ["sync", *store],
        "report": ["report", *store, "--out", str(folder / "report")],
        "sync into an empty MLflow": ["sync", *store, "--tracking-uri", empty],
    }
    for name, arguments in timed.items():
        print(f"softaug {name}: {seconds(*arguments):.1f} s", flush=True)


def line(found: dict[str, float], one: dict[str, float]) -> str:
    """Return a row of the table."""
    driver = (found["cpu_s"] - one["cpu_s"]) / (found["trials"] - 1)
    parts = [f"{found['trials']:6.0f}", f"{driver:.4f}", f"{found['wall_s']:.4f}"]
    parts += [f"{found['first_s']:.4f}", f"{found['last_s']:.4f}"]
    parts += [f"{found[name]:.0f}" for name in ("peak_mb", "child_mb", "delivered_s", "launch_s")]
    return " | ".join(parts)


def report(results: list[dict[str, float]], one: dict[str, float]) -> None:
    """Print the table, and the figures that have targets."""
    print("trials | driver CPU s/trial | wall s/trial | first tenth | last tenth | driver MB | child MB | ", end="")
    print("last end to delivery s | launch s")
    for found in results:
        print(line(found, one))
    if len(results) > 1:
        per_trial = [(each["cpu_s"] - one["cpu_s"]) / (each["trials"] - 1) for each in results[-2:]]
        print(f"driver seconds per trial, last over last but one: {per_trial[1] / per_trial[0]:.2f}", end="")
        print(f"   (targets: {TARGET_RATIO} at 10,000 over 1,000; {TARGET_S} s; {TARGET_MB} MB)")


def main() -> None:
    """Print the table, then the seconds of the commands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="100,1000,10000", help="numbers of trials; published with 100,1000,10000")
    parser.add_argument("--offline", action="store_true", help="without MLflow")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.folder, options.measure, offline=options.offline)))
        return
    from trainables.attempt import cpu_name

    print(f"{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before", flush=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        one = measured(Path(temporary) / "1", 1, offline=options.offline)
        results: list[dict[str, Any]] = []
        for size in map(int, options.sizes.split(",")):
            results.append(measured(Path(temporary) / str(size), size, offline=options.offline))
            print(line(results[-1], one), flush=True)
        report(results, one)
        if not options.offline:
            commands(Path(temporary) / str(int(results[-1]["trials"])))


if __name__ == "__main__":
    main()
