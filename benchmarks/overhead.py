"""What does a trial cost beside its training?   python benchmarks/overhead.py

Question: slot-seconds per trial that are not spent inside fit: (slots x wall from the first trial's start to the last
delivery to MLflow - seconds inside fit) / trials. For 100 one-epoch trainings on the digits, and for 1,000 stub trials
whose fit returns at once (overhead_stub.py); both through `launch`, MLflow on sqlite, two at a time. Targets: 0.15 s
and 0.1 s. Cost: three to five minutes on an idle machine; --trials and --stubs shorten a trial of the benchmark, not
the figures that are published.
"""

import argparse
import os
import secrets
import tempfile
from pathlib import Path
from unittest import mock

SLOTS = 2
SWEEP = """
name: overhead
question: What does a trial cost beside its training?
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


def overhead(folder: Path, trials: int) -> tuple[float, float]:
    """Launch that many seeds of one cell; return slot-seconds per trial outside fit, without and with MLflow."""
    from rich.console import Console

    from sweeps.cli.live import live_view
    from sweeps.files.expand import resolve
    from sweeps.launch.launch import Settings, launch
    from trainables.ledger import TrialFolder
    from trainables.store import open_store

    sweep, store = resolve(SWEEP, "overhead.yaml", seeds=range(trials)), open_store(folder)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with folder.with_suffix(".log").open("w") as log, live_view(Console(file=log, width=120), store, sweep) as view:
        outcome = launch(sweep, Settings(store, None, uri, max_concurrent=SLOTS), view)
    if outcome.missing_in_mlflow or outcome.survey.count("finished") != trials:
        raise SystemExit(folder.with_suffix(".log").read_text())
    folders = [TrialFolder(store, key) for key in sweep.trial_keys]
    ends = [end for trial in folders if (end := trial.end()) is not None]
    first = min(attempt.started for trial in folders for attempt in trial.attempts())
    inside = sum(end.seconds for end in ends)
    last_end, last_delivery = max(end.ended for end in ends), (folder / "mlflow.db").stat().st_mtime
    print(f"  {inside / trials:.3f} s inside fit a trial; first start to last end {last_end - first:.1f} s, ", end="")
    print(f"to last delivery {last_delivery - first:.1f} s")
    return (SLOTS * (last_end - first) - inside) / trials, (SLOTS * (last_delivery - first) - inside) / trials


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--stubs", type=int, default=1000)
    arguments = parser.parse_args()
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # before Ray is imported
    from sweeps.launch.cluster import QUIET

    os.environ.update(QUIET)
    from trainables.attempt import cpu_name

    print(f"{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        if arguments.trials:
            without, with_tracker = overhead(Path(temporary) / "trained", arguments.trials)
            print(f"{arguments.trials} one-epoch trainings: {with_tracker:.3f} s a trial, {without:.3f} s to the end")
        if arguments.stubs:
            import overhead_stub

            with mock.patch("sweeps.launch.train.Trial", overhead_stub.StubTrial):
                without, with_tracker = overhead(Path(temporary) / "stubs", arguments.stubs)
            print(f"{arguments.stubs} stub trials: {with_tracker:.3f} s a trial, {without:.3f} s to the end")


if __name__ == "__main__":
    main()
