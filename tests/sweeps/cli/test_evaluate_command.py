"""`softaug evaluate` on a sweep that was really launched: in processes, into MLflow, interrupted, killed, damaged."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from tests.conftest import SOFTAUG, Softaug
from tests.faults.scenes import tiny_sweep, until
from trainables.evaluation import Evaluation, conditions, current
from trainables.ledger import AttemptFolder, TrialFolder
from trainables.store import open_store

pytestmark = pytest.mark.slow
WITHIN_S = 15.0
WANTED = conditions([20, 40, 60, 80], "mean", 3)
LONG = ("--occlusion", ",".join(map(str, range(1, 100))), "--occlusion-seeds", 10)  # half a minute per trial


@pytest.fixture(scope="module")
def trained(softaug: Softaug, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with a launched sweep of four trials; copy it, do not write to it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(tiny_sweep(seeds=(0, 1)))
    launched = softaug("launch", folder / "tiny.yaml", "--store", folder / "runs")
    assert launched.returncode == 0, launched.stdout + launched.stderr
    return folder / "runs"


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    """Return a copy with an MLflow of its own, empty."""
    copied = Path(shutil.copytree(trained, tmp_path / "runs"))
    (copied / "mlflow.db").unlink()
    return copied


def evaluations(store: Path) -> list[Evaluation | None]:
    keys = sorted(path.name for path in (store / "trials").glob("*/*"))
    return [current(AttemptFolder(TrialFolder(open_store(store), key), 1)) for key in keys]


def files(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (store / "trials").rglob("*")}


Running = tuple["subprocess.Popen[str]", list[psutil.Process]]


@pytest.fixture
def started(store: Path) -> Iterator[Running]:
    """Start a long evaluation of all trials, two at once; yield it and its processes, which are still importing."""
    command = [SOFTAUG, "evaluate", "tiny", "--store", store, "--offline", "--max-concurrent", 2, *LONG]
    with subprocess.Popen(
        [str(each) for each in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        until(lambda: len(psutil.Process(running.pid).children()) == 3, "two processes and Python's resource tracker")
        yield running, psutil.Process(running.pid).children()
        running.kill()


def measuring(store: Path) -> None:
    """Wait until something is kept: each process writes after ten seconds, long before a trial is done."""
    until(lambda: any(evaluations(store)), "the first measurements")


def run_of(store: Path, kind: str) -> list[Any]:
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny@paper")
    return list(client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'"))


def test_every_trial_is_evaluated_shown_and_in_mlflow_and_again_nothing_is_done(store: Path, softaug: Softaug) -> None:
    ran = softaug("evaluate", "tiny", "--store", store)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 of 4 trials evaluated" in ran.stdout
    assert "in whole pixels 25.0, 39.1, 56.2, 76.6 %" in ran.stdout
    assert ran.stdout.count("2/2") == 4
    assert [each and [one.condition for one in each.measurements] for each in evaluations(store)] == [WANTED] * 4
    for run in run_of(store, "trial"):
        assert run.info.status == "FINISHED"
        assert {"test/occlusion_80/top1_error", "test/adaptive_ece"} <= run.data.metrics.keys()
    assert all("se/test/occlusion_20/nll" in run.data.metrics for run in run_of(store, "cell"))
    before = files(store)
    again = softaug("evaluate", "tiny", "--store", store, "--json")
    assert files(store) == before
    told = json.loads(again.stdout)
    assert [cell["n"] for cell in told["cells"]] == [2, 2]
    assert told["areas"]["20"] == 25.0
    doctor = softaug("doctor", "--store", store)
    assert doctor.stdout == "nothing wrong with 4 trials of 1 sweep\n"
    status = json.loads(softaug("status", "tiny", "--store", store, "--json").stdout)
    assert status["cells"][0]["metrics"]["test/top1_error"] == told["cells"][0]["metrics"]["test/top1_error"]
    assert softaug("table", "tiny", "--store", store).returncode == 0


def test_what_was_measured_offline_comes_with_sync(store: Path, softaug: Softaug) -> None:
    assert softaug("sync", "tiny", "--store", store).returncode == 0
    assert softaug("evaluate", "tiny", "--store", store, "--offline").returncode == 0
    assert "test/adaptive_ece" not in run_of(store, "trial")[0].data.metrics
    doctor = softaug("doctor", "--store", store)
    assert doctor.returncode == 0
    assert "4 evaluations not in MLflow yet: `softaug sync` brings them" in doctor.stdout
    assert softaug("sync", "tiny", "--store", store).returncode == 0
    assert all("test/adaptive_ece" in run.data.metrics for run in run_of(store, "trial"))


def test_one_damaged_trial_is_told_and_a_hole_and_the_others_are_there(store: Path, softaug: Softaug) -> None:
    weights = sorted((store / "trials").glob("*/*/0001/weights.safetensors"))[0]
    weights.write_bytes(weights.read_bytes()[:-1])
    ran = softaug("evaluate", "tiny", "--store", store)
    assert ran.returncode == 1
    assert f"{weights.relative_to(store)} has" in ran.stderr
    assert ran.stdout.count("1/2") == ran.stdout.count("2/2") == 2
    assert sum(each is not None for each in evaluations(store)) == 3


def test_another_mlflow_that_is_away_starts_nothing(store: Path, softaug: Softaug) -> None:
    ran = softaug("evaluate", "tiny", "--store", store, "--tracking-uri", "http://127.0.0.1:9")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--offline" in ran.stderr
    assert evaluations(store) == [None] * 4


def test_networks_of_other_classes_are_not_tested_on_imagenet_v2(store: Path, softaug: Softaug) -> None:
    ran = softaug("evaluate", "tiny", "--store", store, "--test-on", "imagenet-v2")
    assert (ran.returncode, ran.stdout) == (2, "")
    told = " ".join(ran.stderr.split())
    assert "--test-on imagenet-v2 is for networks trained on imagenet; tiny@paper trains on digits" in told
    assert evaluations(store) == [None] * 4


def test_interrupted_it_is_out_at_once_and_goes_on(store: Path, softaug: Softaug, started: Running) -> None:
    running, processes = started
    for process in processes:
        process.send_signal(signal.SIGINT)  # a terminal sends Ctrl-C to them too, and they leave it to the command
    measuring(store)
    for process in (*processes, running):
        process.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=WITHIN_S)
    assert running.returncode == 130
    assert err == "interrupted: evaluate again to go on: `softaug evaluate tiny`\n"
    assert psutil.wait_procs(processes, timeout=WITHIN_S)[1] == []
    kept = [each.measurements if each else [] for each in evaluations(store)]
    assert softaug("evaluate", "tiny", "--store", store, "--offline").returncode == 0
    for before, after in zip(kept, evaluations(store), strict=True):
        assert after is not None
        assert after.missing(WANTED) == []
        assert [each for each in after.measurements if each in before] == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ended_from_outside_it_leaves_no_process(store: Path, number: signal.Signals, started: Running) -> None:
    running, processes = started
    measuring(store)
    running.send_signal(number)
    running.communicate(timeout=WITHIN_S)
    assert running.returncode == (130 if number == signal.SIGTERM else -number)
    assert psutil.wait_procs(processes, timeout=WITHIN_S)[1] == []


def test_a_process_that_is_killed_ends_it_with_a_line(store: Path, started: Running) -> None:
    running, processes = started
    measuring(store)
    max(processes, key=lambda process: process.memory_info().rss).kill()
    _, err = running.communicate(timeout=WITHIN_S)
    assert running.returncode == 1
    assert err.startswith("error: a process that evaluated died, perhaps for lack of memory")
    assert "Traceback" not in err
    assert psutil.wait_procs(processes, timeout=WITHIN_S)[1] == []
