"""How long does `softaug report` take, and how much memory?   python benchmarks/report.py [--runs 1000 10000]

Question: seconds (and CPU seconds, which other programs disturb less) and peak memory of `softaug report`, a fresh
process that brings MLflow level first, over one sweep of about 1,000 and 10,000 finished runs (three seeds a cell) in a
real MLflow on sqlite; beside `softaug status` on the same store. Targets: 10 s and 60 s, under 1 GB. Cost: two to five
minutes, most of it for filling.

The ledger is written file by file as trials leave it, without fsync, weights empty and every picture the same. MLflow's
database has its own tables, and in them what the tracker itself would send, collected and inserted in bulk: sending it
run by run takes half an hour. That the report then finds nothing to send is checked: the database stays as it was.
"""

import argparse
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
from PIL import Image

from sweeps import launched
from sweeps.files.expand import resolve
from sweeps.resolved import ResolvedSweep
from trainables import launches
from trainables.folder_store import FolderStore
from trainables.ledger import Attempt, End, Row, TrialFolder
from trainables.store import Store

TARGETS_S = {1_000: 10.0, 10_000: 60.0}
TARGET_MB = 1_000
EPOCHS = 12
SEEDS = [0, 1, 2]
ARMS = ("target", "weight", "both")
FINAL = ("test/top1_error", "test/ece", "test/nll", "test/brier")
HEAD = f"""
name: large
question: How long does the report take?
seeds: {SEEDS}
baseline: standard crop
base: {{data: {{name: digits}}, model: {{name: resnet8}}, flip: 0.0, optim: {{epochs: {EPOCHS}}}}}
figure: {{kind: softening-over-sigma, x: sigma, lines: {{target: k, weight: k, both: k}}}}
"""


class QuickStore(FolderStore):
    """A store that does not wait for the disk."""

    def write(self, path: str, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def create(self, path: str, content: bytes) -> bool:
        self.write(path, content)
        return True


def sweep_of(runs: int) -> ResolvedSweep:
    """Return a sweep of at least so many trials: a standard crop, and three arms over strengths and ks."""
    cells = -(-runs // len(SEEDS)) - 1
    ks = [0.5, 1.0, 2.0, 4.0]
    sigmas = [round(0.001 * step, 3) for step in range(1, -(-cells // (len(ks) * len(ARMS))) + 1)]
    arms = "".join(
        f"  - {{name: {arm}, set: {{crop: {{kind: gaussian}}, softening: {{apply_to: {arm}}}}}, over: [sigma, k]}}\n"
        for arm in ARMS
    )
    axes = (
        f'axes:\n  sigma: {{field: crop.sigma, label: "σ", values: {sigmas}}}\n'
        f'  k: {{field: softening.k, label: "k", values: {ks}}}\n'
    )
    base = "arms:\n  - {name: standard crop, set: {crop: {kind: uniform, radius_px: 1}}}\n"
    return resolve(f"{HEAD}{axes}{base}{arms}", "large.yaml")


def fill_ledger(store: Store, sweep: ResolvedSweep) -> None:
    """Write what a launch leaves that has ended."""
    launched.save(store, sweep)
    launch = launches.acquire(store, sweep.experiment)
    launches.beat(store, launch, ended=True)
    attempt = Attempt(number=1, launch=launch.id, host="h", pid=1, started=1000.0, git_commit="c0ffee", git_dirty=False)
    train = {"train/kl": 1.0, "train/cross_entropy": 1.0, "train/lr": 0.1, "train/confidence": 0.9}
    rows = [Row(epoch=n, time=1000.0 + n, seconds=float(n), metrics=train) for n in range(1, EPOCHS + 1)]
    picture = samples()
    noise = np.random.default_rng(0)
    for recipe in sweep.recipes():
        trial = TrialFolder(store, recipe.key)
        trial.write_recipe(recipe)
        folder = trial.begin(attempt)
        assert folder is not None
        folder.write_rows(rows)
        folder.write_results(weights=b"", reliability=reliability(noise), samples=picture)
        error = float(noise.normal(5, 0.3))
        final = dict(zip(FINAL, (error, error / 2, error / 30, error / 70), strict=True))
        how = {"device": "cpu", "cpu": "Example CPU", "threads": 1, "data_fingerprint": "f", "versions": {"torch": "2"}}
        end = {"state": "finished", "attempt": 1, "epochs": EPOCHS, "metrics": final, "ended": 2000.0, "seconds": 12.0}
        trial.finish(End.model_validate({**end, **how}))


def samples() -> bytes:
    """Return a PNG as large as a trial's 16 pictures."""
    noise = np.random.default_rng(1).integers(0, 255, (70, 224, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).resize((448, 140)).save(content, "PNG", compress_level=1)
    return content.getvalue()


def reliability(noise: np.random.Generator) -> dict[str, Any]:
    """Return a trial's reliability.json."""
    count = [0, 2, 4, 8, 16, 32, 64, 120, 300, 951]
    centres = [0.05 + 0.1 * i for i in range(10)]
    accuracy = [
        float(np.clip(c + noise.normal(0, 0.05), 0, 1)) if n else 0.0 for c, n in zip(centres, count, strict=True)
    ]
    confidence = [c if n else 0.0 for c, n in zip(centres, count, strict=True)]
    return {"edges": [0.1 * i for i in range(11)], "count": count, "confidence": confidence, "accuracy": accuracy}


@dataclass
class Collected:
    """Rows of MLflow's tables."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    tags: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)  # the newest by run and name
    params: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    latest: list[dict[str, Any]] = field(default_factory=list)


def fill_mlflow(store: Store, sweep: ResolvedSweep, uri: str) -> None:
    """Insert what the tracker would send."""
    from mlflow.store.tracking.dbmodels import models
    from sqlalchemy import create_engine, insert

    from sweeps.tracker.contents import fitted, params
    from sweeps.tracker.runs import Experiment, Held
    from sweeps.tracker.tracker import Projection, be_brief

    class Collecting(Experiment):
        """Keeps what it is told to send."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.found = Collected()
            self.location = self.client.get_experiment(self.id).artifact_location
            self.rows: dict[str, dict[str, Any]] = {}  # of the runs, by id

        def make(self, kind: Any, key: str, name: str, started: float, tags: dict[str, str]) -> Held:
            run_id = uuid.uuid4().hex
            artifacts = f"{self.location}/{run_id}/artifacts"
            self.found.runs.append(
                {
                    "run_uuid": run_id,
                    "name": name,
                    "user_id": "benchmark",
                    "status": "RUNNING",
                    "start_time": round(started * 1000),
                    "lifecycle_stage": "active",
                    "artifact_uri": artifacts,
                    "experiment_id": int(self.id),
                }
            )
            self.runs[kind, key] = Held(run_id, artifacts, "RUNNING", {})
            self._tag(self.runs[kind, key], {**fitted(tags), "mlflow.runName": name})
            self.rows[run_id] = self.found.runs[-1]
            return self.runs[kind, key]

        def upload_files(self, run: Held, files: list[Path]) -> None:
            folder = Path(url2pathname(urlparse(run.artifacts).path))
            folder.mkdir(parents=True, exist_ok=True)
            for path in files:
                os.link(path, folder / path.name)

        def set_status(self, run: Held, status: str, ended: float) -> None:
            self.rows[run.run_id] |= {"status": status, "end_time": round(ended * 1000)}
            run.status = status

        def log(self, run: Held, metrics: list[Any], recipe: dict[str, object], tags: dict[str, str]) -> None:
            rows = [
                {"run_uuid": run.run_id, "key": m.key, "value": m.value, "timestamp": m.timestamp, "step": m.step}
                for m in metrics
            ]
            self.found.metrics += rows
            self.found.latest += {row["key"]: {**row, "is_nan": False} for row in rows}.values()
            self.found.params += [
                {"run_uuid": run.run_id, "key": name, "value": value} for name, value in params(recipe).items()
            ]
            self._tag(run, tags)

        def _tag(self, run: Held, tags: dict[str, str]) -> None:
            self.found.tags |= {
                (run.run_id, name): {"run_uuid": run.run_id, "key": name, "value": value}
                for name, value in tags.items()
            }
            run.tags |= tags

    be_brief()
    projection = Projection(store, sweep, uri, is_running=lambda _: False)
    collecting = Collecting(store, sweep, uri)
    projection.experiment = collecting
    for key in sweep.trial_keys:
        projection.project(key)
    tables = (models.SqlRun, models.SqlTag, models.SqlParam, models.SqlMetric, models.SqlLatestMetric)
    found = collecting.found
    with create_engine(uri).begin() as connection:
        for table, rows in zip(
            tables, (found.runs, list(found.tags.values()), found.params, found.metrics, found.latest), strict=True
        ):
            connection.execute(insert(table), rows)


def fill(folder: Path, runs: int) -> None:
    """Fill a store and its MLflow."""
    store, sweep = QuickStore(folder), sweep_of(runs)
    started = time.perf_counter()
    fill_ledger(store, sweep)
    between = time.perf_counter()
    fill_mlflow(store, sweep, f"sqlite:///{folder / 'mlflow.db'}")
    ended = time.perf_counter()
    print(f"{len(sweep.trial_keys):,} runs in {len(sweep.cells):,} cells; filled: "
          f"ledger {between - started:.0f} s, MLflow {ended - between:.0f} s", flush=True)  # fmt: skip


def measure(arguments: Iterable[str]) -> tuple[float, float, float]:
    """Return seconds, CPU seconds and peak memory in MB of one process of the command line, or raise SystemExit."""
    started = time.perf_counter()
    command = [str(Path(sys.executable).with_name("softaug")), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def digest(file: Path) -> str:
    """Return a digest of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def main() -> None:
    """Fill and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--keep", type=Path, help="fill this folder, and leave it there; filled already, only measure")
    wanted = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    for runs in wanted.runs:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
            folder = (wanted.keep / str(runs)).absolute() if wanted.keep else Path(temporary)
            if not (folder / "mlflow.db").exists():
                filling = get_context("spawn").Process(target=fill, args=(folder, runs))
                filling.start()
                filling.join()
            before = digest(folder / "mlflow.db")
            status, _, _ = measure(["status", "--store", str(folder)])
            out = folder / "report"
            seconds, cpu, megabytes = measure(["report", "--store", str(folder), "--out", str(out)])
            if digest(folder / "mlflow.db") != before:
                raise SystemExit("the report sent something to MLflow: it was not filled as the tracker fills it")
            files = [path for path in out.rglob("*") if path.is_file()]
            size = sum(path.stat().st_size for path in files) / 1e6
            target = f" (target {TARGETS_S[runs]:.0f} s)" if runs in TARGETS_S else ""
            print(f"softaug report, {runs:,} runs: {seconds:.1f} s{target}, {cpu:.1f} s of CPU")
            print(f"  {megabytes:,.0f} MB at most (target {TARGET_MB:,} MB); {len(files)} files of {size:.0f} MB")
            print(f"  softaug status: {status:.1f} s", flush=True)


if __name__ == "__main__":
    main()
