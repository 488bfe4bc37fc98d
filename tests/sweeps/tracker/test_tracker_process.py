"""The tracker's process: what it does reaches MLflow, what happens to it does not reach the launch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from sweeps.tracker import process as tracker_process
from sweeps.tracker.process import DIED, TrackerProcess
from tests.sweeps import ledgers
from trainables.store import Store

SWEEP = ledgers.small_sweep()


def started(store: Store, uri: str, said: list[str]) -> TrackerProcess:
    process = TrackerProcess(say=said.append)
    process.start(store, SWEEP, uri, ledgers.LAUNCH, upload_weights=False)
    return process


def states(uri: str) -> dict[str, str]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(SWEEP.experiment)
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'")
    return {run.data.tags["trial_key"]: run.info.status for run in runs}


def test_what_ended_is_in_mlflow_when_it_closes(store: Store, uri: str) -> None:
    said: list[str] = []
    process = started(store, uri, said)
    first, second, *_ = SWEEP.trial_keys
    ledgers.finish(ledgers.begin(store, first), 2.0)
    process.changed(first, ended=True)
    ledgers.begin(store, second).write_rows(ledgers.rows(1))
    process.changed(second, ended=False)
    assert process.close(SWEEP.trial_keys) == 0
    assert states(uri) == {first: "FINISHED", second: "KILLED"}, "nothing runs any more once it has closed"
    assert said == []


def test_a_process_that_dies_is_told_and_everything_is_left_to_sync(store: Store, uri: str) -> None:
    said: list[str] = []
    process = started(store, uri, said)
    os.kill(process.process.pid, signal.SIGSEGV)
    process.process.wait()
    process.changed(SWEEP.trial_keys[0], ended=True)
    assert process.close(SWEEP.trial_keys) == 4
    assert said == [DIED]


def test_a_process_that_hangs_holds_nobody_up(store: Store, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_process, "PATIENCE_S", 2.0)
    process = started(store, uri, [])
    os.kill(process.process.pid, signal.SIGSTOP)
    before = time.monotonic()
    for _ in range(1000):
        for key in SWEEP.trial_keys:
            process.changed(key, ended=False)
    assert time.monotonic() - before < 1
    assert len(process.events) <= len(SWEEP.trial_keys) + 1, "one event a trial is kept, not one a call"
    before = time.monotonic()
    assert process.close(SWEEP.trial_keys) == 4
    assert time.monotonic() - before < 10
    assert not psutil.pid_exists(process.process.pid)


def test_it_ends_when_its_launch_is_gone(tmp_path: Path) -> None:
    code = (
        "import time; from sweeps.tracker.process import TrackerProcess\n"
        "print(TrackerProcess(say=print).process.pid, flush=True); time.sleep(60)"
    )
    launch = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert launch.stdout is not None
    child = psutil.Process(int(launch.stdout.readline()))
    launch.kill()
    launch.communicate()
    assert psutil.wait_procs([child], timeout=30)[1] == []


def test_it_is_not_misled_by_a_folder_called_sweeps(
    store: Store, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    assert started(store, uri, said).close(SWEEP.trial_keys) == 0
    assert said == []
