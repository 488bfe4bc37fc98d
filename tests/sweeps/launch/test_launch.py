"""Whole launches with a real Ray: relaunches run what is missing, Ctrl-C loses nothing, one at a time."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.conftest import SOFTAUG, Softaug
from tests.faults.scenes import ENDLESS, tiny_sweep, until
from trainables import launches
from trainables.ledger import TrialFolder
from trainables.store import open_store

EPOCHS = 100
NUMBER = r"[0-9.]+"


def write_sweep(folder: Path, **given: int) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(tiny_sweep(**given))
    return path


def files(store: Path, pattern: str) -> list[Path]:
    return sorted((store / "trials").glob(f"*/*/{pattern}"))


def checkpoints(store: Path) -> list[int]:
    """Return the epochs of all checkpoints."""
    return [int(path.name.split("-")[1]) for path in files(store, "000*/checkpoint-*")]


def started(sweep: Path, store: Path, *options: object) -> "subprocess.Popen[str]":
    command = [str(SOFTAUG), "launch", str(sweep), "--store", str(store), *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def cells(softaug: Softaug, sweep: Path, store: Path) -> Any:
    """Return every cell's estimates as printed: equal to the last bit or not equal."""
    status = softaug("status", sweep, "--store", store, "--json")
    assert status.returncode == 0, status.stderr
    return json.loads(status.stdout)["cells"]


@pytest.fixture(scope="module")
def undisturbed(softaug: Softaug, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a sweep file and the store that one launch of it filled."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep, store = write_sweep(folder, epochs=EPOCHS), folder / "runs"
    launched = softaug("launch", sweep, "--store", store)
    assert launched.returncode == 0, launched.stdout + launched.stderr
    return sweep, store


def test_a_launch_runs_every_trial_once_and_tells_how_it_went(undisturbed: tuple[Path, Path], softaug: Softaug) -> None:
    sweep, store = undisturbed
    assert len(files(store, "end.json")) == len(files(store, "attempt-*.json")) == 6
    status = json.loads(softaug("status", sweep, "--store", store, "--json").stdout)
    assert status["trials"] == {"finished": 6, "failed": 0, "diverged": 0, "running": 0, "pending": 0}
    assert [(cell["arm"], cell["n"], cell["expected"]) for cell in status["cells"]] == [
        ("standard crop", 3, 3),
        ("soft target", 3, 3),
    ]
    assert sorted(path.name for path in store.iterdir()) == ["artifacts", "launches", "mlflow.db", "sweeps", "trials"]


def test_mlflow_has_a_run_per_trial_and_per_cell_in_its_true_state(undisturbed: tuple[Path, Path]) -> None:
    _, store = undisturbed
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
    runs = client.search_runs([experiment.experiment_id])
    assert experiment.name == "tiny@paper"
    assert {run.info.status for run in runs} == {"FINISHED"}
    trials = [run for run in runs if run.data.tags["kind"] == "trial"]
    assert len(trials) == 6
    assert len(runs) == 8
    for run in trials:
        end = TrialFolder(open_store(store), run.data.tags["trial_key"]).end()
        assert end is not None
        assert {name: run.data.metrics[name] for name in end.metrics} == end.metrics
        assert len(client.get_metric_history(run.info.run_id, "train/kl")) == EPOCHS
    assert client.search_runs(["0"]) == []


def test_every_launch_keeps_what_it_expected_and_one_without_a_prior_expected_nothing(
    undisturbed: tuple[Path, Path], softaug: Softaug, tmp_path: Path
) -> None:
    sweep, first_store = undisturbed
    assert [launch.estimate for launch in launches.launches(open_store(first_store))] == [None]
    store = tmp_path / "runs"
    known = tmp_path / "known.yaml"
    known.write_text(sweep.read_text() + "prior: {minutes_per_trial: 0.01, factor: 3}\n")
    ran = softaug("launch", known, "--store", store, "--seeds", "0", "--budget", "0.0004", "--offline")
    assert ran.returncode == 0, ran.stderr
    assert "warning: " in ran.stdout
    assert "the upper end is above the budget of 0.0004" in ran.stdout
    assert "estimated 0.00033 (0.000038–0.0029) CPU-hours for 2 trials" in ran.stdout
    (kept,) = launches.launches(open_store(store))
    assert kept.estimate is not None
    assert (kept.estimate.trials, kept.estimate.hours) == (2, pytest.approx(0.02 / 60))


def test_launching_again_runs_nothing_and_a_fourth_seed_runs_only_its_trials(
    undisturbed: tuple[Path, Path], softaug: Softaug, tmp_path: Path
) -> None:
    sweep, first_store = undisturbed
    store = tmp_path / "runs"
    subprocess.run(["cp", "-r", str(first_store), str(store)], check=True)
    before = {path: path.stat().st_mtime_ns for path in files(store, "**/*")}
    again = softaug("launch", sweep, "--store", store)
    assert again.returncode == 0, again.stderr
    assert "starting Ray" not in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in files(store, "**/*")}
    plan = softaug("plan", sweep, "--store", store, "--seeds", "0,1,2,3", "--json")
    planned = json.loads(plan.stdout)
    assert [planned[name] for name in ("cells", "trials", "done", "to_do", "failed")] == [2, 8, 6, 2, 0]
    left = planned["cost"]["left"]
    assert left["low"] < left["value"] < left["high"]
    grown = softaug("launch", sweep, "--store", store, "--seeds", "0,1,2,3")
    assert grown.returncode == 0, grown.stdout + grown.stderr
    assert "2 of 8 trials to do" in grown.stdout
    expected = rf"estimated {NUMBER} \({NUMBER}–{NUMBER}\) CPU-hours for 2 trials"
    assert re.search(rf"{expected}\n", grown.stdout)
    assert re.search(rf"{expected}, took {NUMBER}", grown.stdout.splitlines()[-1])
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert len(files(store, "end.json")) == 8
    assert [cell["n"] for cell in cells(softaug, sweep, store)] == [4, 4]


def rows(store: Path) -> list[int]:
    """Return how many rows each second attempt has; it begins with a copy of the first one's."""
    return [len(path.read_text().splitlines()) for path in files(store, "0002/epochs.jsonl")]


def interrupt(launch: "subprocess.Popen[str]", store: Path) -> None:
    """Press Ctrl-C and check that the launch saves, says so, and leaves its runs in their true state."""
    asked = time.monotonic()
    launch.send_signal(signal.SIGINT)
    output, _ = launch.communicate(timeout=60)
    assert time.monotonic() - asked < 30
    assert launch.returncode == 130, output
    assert "Traceback" not in output
    assert "launch again to go on" in output
    assert files(store, "0001/checkpoint-*"), "the last epoch was kept"
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tiny@paper").experiment_id], "tags.kind = 'trial'")
    assert {(run.info.status, run.data.tags["state"]) for run in runs} == {("KILLED", "interrupted")}


def test_ctrl_c_keeps_the_last_epoch_the_next_launch_goes_on_and_nobody_else_may_meanwhile(
    softaug: Softaug, tmp_path: Path
) -> None:
    sweep, store = write_sweep(tmp_path, **ENDLESS), tmp_path / "runs"
    launch = started(sweep, store, "--seeds", "0")
    until(lambda: files(store, "0001/epochs.jsonl"), "the first rows")
    other = softaug("launch", sweep, "--store", store, "--seeds", "0")
    assert other.returncode == 3
    assert f"tiny@paper is already running: {launches.launches(open_store(store))[0].user} on " in other.stderr
    assert f"process {launch.pid}, since " in other.stderr
    interrupt(launch, store)
    kept = max(checkpoints(store))
    second = started(sweep, store, "--seeds", "0")
    until(lambda: max(rows(store), default=0) > kept, "the second attempt's first row of its own")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)
    epochs = [json.loads(path.read_text().splitlines()[0])["epoch"] for path in files(store, "0002/epochs.jsonl")]
    assert set(epochs) == {1}, "rows of the first attempt are kept"
    assert max(rows(store)) > kept
